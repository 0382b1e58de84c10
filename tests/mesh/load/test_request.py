"""What is sent, and where a response ends."""

from hypothesis import given
from hypothesis import strategies as st

from meshgym.mesh.load.request import Request, response_end

HEAD = b"HTTP/1.1 200 OK\r\nserver: envoy\r\n"


def whole_at(data, **more):
    """Return how much of ``data`` must be there until it is a whole response."""
    return next(n for n in range(len(data) + 1) if response_end(data[:n], **more))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_chunks_end_with_the_empty_one(chunks):
    sent = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    sent += b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in [*chunks, b""])
    assert whole_at(sent) == len(sent)


@given(st.binary(max_size=100))
def test_a_body_is_as_long_as_its_length_says(body):
    sent = HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body
    assert whole_at(sent) == len(sent)


def test_some_responses_have_no_body():
    length = HEAD + b"content-length: 5\r\n\r\n"
    assert whole_at(length, headers_only=True) == len(length)
    for status in (b"204", b"304"):
        sent = length.replace(b"200", status)
        assert whole_at(sent) == len(sent)
    assert whole_at(HEAD + b"\r\n") == len(HEAD) + 2


def test_a_request_says_how_long_its_body_is():
    assert Request().encode({"a": "1"}) == b"GET / HTTP/1.1\r\nhost: service\r\na: 1\r\n\r\n"
    sent = Request("POST", "/x?y", "shop:80", {"b": "\xe9"}, "é".encode(), (201, 204))
    assert sent.encode({}) == b"POST /x?y HTTP/1.1\r\nhost: shop:80\r\nb: \xe9\r\ncontent-length: 2\r\n\r\n\xc3\xa9"
    assert sent.successes == (b"HTTP/1.1 201", b"HTTP/1.1 204")
    assert b"content-length: 0" in Request("PUT").encode({})

"""The request that each call of a load sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """A request of HTTP/1.1, and what counts as its success.

    Attributes:
        method: of HTTP.
        target: path and query.
        host: value of the host header.
        headers: the further ones.
        body: what is sent after them.
        status: of a success.
    """

    method: str = "GET"
    target: str = "/"
    host: str = "service"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: tuple[int, ...] = (200,)

    def encode(self, headers: Mapping[str, str]) -> bytes:
        """Return it as it is sent, with further headers."""
        length = {"content-length": str(len(self.body))} if self.body or self.method not in ("GET", "HEAD") else {}
        lines = "".join(f"{key}: {value}\r\n" for key, value in {**self.headers, **length, **headers}.items())
        return f"{self.method} {self.target} HTTP/1.1\r\nhost: {self.host}\r\n{lines}\r\n".encode("latin-1") + self.body

    @property
    def successes(self) -> tuple[bytes, ...]:
        """What a successful response begins with."""
        return tuple(f"HTTP/1.1 {status}".encode() for status in self.status)


def response_end(data: bytes, headers_only: bool = False) -> int:
    """Return the length of the headers if ``data`` holds a whole response of an Envoy, else 0.

    Args:
        data: what was received; Envoy writes the names of headers in lower case.
        headers_only: whether the request was a HEAD, whose response has no body.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    if headers_only or data[9:12] in (b"204", b"304"):
        return end
    start = data.find(b"content-length: ", 0, end)
    if start >= 0:
        length = int(data[start + 16 : data.find(b"\r\n", start)])
        return end if len(data) >= end + 4 + length else 0
    if data.find(b"transfer-encoding: chunked", 0, end) >= 0:
        return end if _chunks_end(data, end + 4) else 0
    return end


def _chunks_end(data: bytes, start: int) -> bool:
    """Return whether the last of the chunks that begin at ``start`` is there."""
    while (line := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:line].split(b";")[0], 16)
        if not size:
            return data.find(b"\r\n", line + 2) >= 0
        start = line + 2 + size + 2
    return False

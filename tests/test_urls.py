"""A URL is that of one host, and can't become anything else in a printed command."""

import pytest

from meshgym.errors import InvalidValueError
from meshgym.urls import check_url


@pytest.mark.parametrize(
    "url", ["http://shop.default.svc:8000/get", "https://10.0.0.1/", "http://[::1]:80/a?b=c&d=$(e)"]
)
def test_a_url(url):
    check_url("url", url)


@pytest.mark.parametrize(
    "url",
    ["-version", "http://*:8000/get", "http://a:b:c/", "http://shop/\n# x", "http://a b/", "ftp://a/", "http:///x", ""],
)
def test_what_is_none(url):
    with pytest.raises(InvalidValueError, match="url is "):
        check_url("url", url)


def test_a_password_is_not_repeated():
    with pytest.raises(InvalidValueError) as caught:
        check_url("url", "http://me:secret@shop/")
    assert "secret" not in str(caught.value)

"""URLs that load is sent to, and that stand in printed commands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from meshgym.errors import InvalidValueError

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9a-fA-F:.]+")


def port_of(url: str) -> int:
    """Return the port of a URL that was checked."""
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def check_url(what: str, url: str, schemes: Sequence[str] = ("http", "https")) -> None:
    """Check that something is a URL of one host, without a password, which would appear in messages and files.

    Args:
        what: the name that the error gives it.
        url: the URL.
        schemes: those allowed.

    Raises:
        InvalidValueError: it isn't.
    """
    allowed = f"a URL {' or '.join(schemes)}://HOST:PORT/"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidValueError(what, url, allowed) from None
    if parts.scheme not in schemes or not _HOST.fullmatch(host) or not re.fullmatch(r"[!-~]+", url):
        raise InvalidValueError(what, url, allowed)
    if parts.username is not None:
        raise InvalidValueError(what, f"{parts.scheme}://...@{host}", "a URL without user and password")

"""A service of the user's own, behind the embedded mesh's sidecar."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.service.profile import HOUR_MS, SIDECAR_LIMITS, ServiceProfile, build, check_delays, check_whole
from meshgym.urls import check_url

_PROTOCOLS = ("http1", "http2", "grpc")
#: Of HTTP (RFC 9110): the name of a method or a header, and a header's value.
_TOKEN, _VALUE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"), re.compile(r"[\t -~\x80-\xff]*")
#: What the client says itself.
_OURS = ("host", "content-length", "transfer-encoding", "connection")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnService:
    """A service that is there already, by its URL; several are its replicas.

    Nothing is known of it but what comes back: a request succeeds with one of ``status``, and ``p200`` is the share
    of those.

    Attributes:
        url: ``http://`` or ``https://``, on this machine, unless another host is allowed where a mesh is opened. All
            replicas have the same path.
        method: of each request.
        headers: of each request. ``${NAME}`` stands for a variable of the environment, so no file holds what is secret.
        body: of each request.
        body_base64: the same, where it is no text; for gRPC the message, without its frame.
        status: what counts as a success.
        protocol: what the replicas speak: ``"http1"``, ``"http2"`` or ``"grpc"`` (unary calls; UNAVAILABLE counts as a
            503, DEADLINE_EXCEEDED as 504, RESOURCE_EXHAUSTED as 429, any other status but OK as 500).
        ca: PEM file with the authority of the replicas' certificates; empty for those that this system trusts.
        probe_s: whole seconds to wait before a run until each replica responds well to a single request, 0..3600.
        network_delay_ms, proxy_workers, idle_timeout_ms, client_timeout_ms: see
            :class:`meshgym.service.profile.ServiceProfile`; the last is Fortio's.

    Raises:
        InvalidValueError: a value outside its range.
    """

    url: tuple[str, ...]
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    body_base64: str = ""
    status: tuple[int, ...] = (200,)
    protocol: Literal["http1", "http2", "grpc"] = "http1"
    ca: str = ""
    probe_s: int = 30
    network_delay_ms: float = 0
    proxy_workers: int = 2
    idle_timeout_ms: int = HOUR_MS
    client_timeout_ms: int = 3000

    def __post_init__(self) -> None:
        url = (self.url,) if isinstance(self.url, str) else tuple(self.url)
        object.__setattr__(self, "url", url)
        status = (self.status,) if isinstance(self.status, int) else tuple(self.status)
        object.__setattr__(self, "status", status)
        if not 1 <= len(url) <= 64:
            raise InvalidValueError("service.url", list(url), "1..64 URLs")
        for one in url:
            check_url("service.url", one)
        for part in ("scheme", "path", "query"):
            if len({getattr(urlsplit(one), part) for one in url}) > 1:
                raise InvalidValueError("service.url", list(url), f"URLs with the same {part}, of replicas")
        for code in status:
            if type(code) is not int or not 200 <= code <= 599 or code == 503:
                raise InvalidValueError("service.status", code, "a status 200..599 but 503, which stands for overload")
        if self.protocol not in _PROTOCOLS:
            raise UnknownNameError("service.protocol", self.protocol, _PROTOCOLS)
        check_whole(self, {**SIDECAR_LIMITS, "probe_s": (0, 3600)}, "service")
        check_delays(self, "network_delay_ms")
        self._check_request()

    def _check_request(self) -> None:
        if not _TOKEN.fullmatch(self.method):
            raise InvalidValueError("service.method", self.method, "a method of HTTP, such as GET or POST")
        if not isinstance(self.headers, Mapping):
            raise InvalidValueError("service.headers", self.headers, "names and values")
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name) or name.lower() in _OURS or name.lower().startswith("x-meshgym"):
                raise InvalidValueError("service.headers", name, f"a header's name, but {', '.join(_OURS)}")
            if not isinstance(value, str) or not _VALUE.fullmatch(value):
                raise InvalidValueError(f"service.headers.{name}", value, "text of one line")
        if self.body and self.body_base64:
            raise InvalidValueError("service.body", "body and body_base64", "one of them")
        if not isinstance(self.body, str):
            raise InvalidValueError("service.body", self.body, "text")
        try:
            base64.b64decode(self.body_base64, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise InvalidValueError("service.body_base64", self.body_base64, "bytes in Base64") from None

    @property
    def longest_s(self) -> float:
        """Seconds without a response that are no surprise."""
        return (self.client_timeout_ms or HOUR_MS) / 1000

    @property
    def call_ms(self) -> float | None:
        """Nobody knows how long a call takes."""
        return None

    @property
    def message(self) -> bytes:
        """The body of each request."""
        return base64.b64decode(self.body_base64) if self.body_base64 else self.body.encode()

    def expanded_headers(self) -> dict[str, str]:
        """Return the headers with the environment's values.

        Raises:
            InvalidValueError: a variable isn't set, or can't stand in a header.
        """
        return {name: _VARIABLE.sub(_variable, value) for name, value in self.headers.items()}


def _variable(found: re.Match[str]) -> str:
    name = found[1]
    value = os.environ.get(name)
    if value is None or not _VALUE.fullmatch(value):
        said = "not set" if value is None else "another"
        raise InvalidValueError(f"the variable {name} in service.headers", said, "text of one line", f"Set {name}.")
    return value


#: What an embedded mesh can stand in front of.
Service = ServiceProfile | OwnService
#: Fields that earlier provenances don't have; left out where they say nothing, so that collections go on.
_LATER = {"client_timeout_ms": 0, "faults": ()}


def to_table(service: Service) -> dict[str, Any]:
    """Return the section ``[service]`` of a scenario, as plain values; the inverse of :func:`read_service`."""
    table = asdict(service)
    if isinstance(service, OwnService):
        return table
    return {name: value for name, value in table.items() if name not in _LATER or value != _LATER[name]}


def read_service(table: object) -> Service:
    """Read the section ``[service]`` of a scenario: one with a ``url`` is the user's own.

    Raises:
        InvalidValueError: an unknown or missing key, or a value out of range.
    """
    kind: type[Service] = OwnService if isinstance(table, Mapping) and "url" in table else ServiceProfile
    return build(kind, table, "service")

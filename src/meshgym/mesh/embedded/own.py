"""A service of the user's own behind the embedded sidecar: its addresses, its TLS, and a probe of each replica."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from meshgym.errors import FileError, InvalidValueError, MeshStartError
from meshgym.mesh.embedded.backend import Backend
from meshgym.mesh.embedded.bootstrap import TYPE, lua
from meshgym.mesh.embedded.sidecar import METADATA
from meshgym.mesh.load.request import Request
from meshgym.rules.envoy_cluster import Protocol, envoy_cluster
from meshgym.service.own import OwnService
from meshgym.urls import port_of

#: What a probe's responses are stamped with.
PROBE = "probe"
#: A message of gRPC without compression begins with a 0, and its length in four bytes.
_GRPC = {"content-type": "application/grpc", "te": "trailers"}
_FILTERS = f"{TYPE}.filters.http"
#: The statuses of HTTP that stand for those of gRPC: DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED and UNAVAILABLE.
_STATUS = """
local statuses = {["4"] = "504", ["8"] = "429", ["14"] = "503"}
function envoy_on_response(handle)
  local status = handle:headers():get("grpc-status")
  if status and status ~= "0" then handle:headers():replace(":status", statuses[status] or "500") end
end
"""


def own(service: OwnService, allowed_host: str = "") -> Backend:
    """Return a user's own service.

    Args:
        service: where it is and what it is asked for.
        allowed_host: another host than this machine that may be loaded.

    Raises:
        InvalidValueError: a host that isn't this machine and wasn't allowed, or a header's variable that isn't set.
        FileError: the authority of its certificates can't be read.
        MeshStartError: a host's name isn't known.
    """
    hosts = [urlsplit(url).hostname or "" for url in service.url]
    addresses = [_address(url, host, allowed_host) for url, host in zip(service.url, hosts, strict=True)]
    secured = urlsplit(service.url[0]).scheme == "https"
    protocol: Protocol = "http1" if service.protocol == "http1" else "http2"
    transport = _tls(hosts[0], service, protocol) if secured else None
    probes = {}
    for number, (url, address) in enumerate(zip(service.url, addresses, strict=True)):
        name = f"{PROBE}-{number}"
        probe = {
            **envoy_cluster({}, name, protocol=protocol, connect_timeout="2s"),
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
            "metadata": {"filter_metadata": {METADATA: {"run": PROBE}}},
        }
        probes[url] = probe if transport is None else {**probe, "transport_socket": transport}
    return Backend(
        [addresses], transport, _request(service), protocol=protocol, filters=_filters(service), probes=probes
    )


def _address(url: str, host: str, allowed: str) -> dict[str, Any]:
    """Return a replica's address, which must be this machine's or of the host that is allowed."""
    try:
        found = socket.getaddrinfo(host, port_of(url), type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        raise MeshStartError(f"{url}: the host {host!r} isn't known here ({error})") from None
    if not ipaddress.ip_address(found).is_loopback and host != allowed:
        raise InvalidValueError(
            "service.url", url, "a URL on this machine", f"Other hosts take --allow-host {host}, and limits."
        )
    return {"socket_address": {"address": str(found), "port_value": port_of(url)}}


def _request(service: OwnService) -> Request:
    parts = urlsplit(service.url[0])
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers: Mapping[str, str] = service.expanded_headers()
    method, body = service.method, service.message
    if service.protocol == "grpc":
        method, body = "POST", b"\x00" + len(body).to_bytes(4, "big") + body
        headers = {**headers, **_GRPC}
    return Request(method, target, parts.netloc, headers, body, service.status)


def _filters(service: OwnService) -> list[dict[str, Any]]:
    """Return the filters that speak gRPC for the client's HTTP/1.1, and turn its status into one of HTTP."""
    if service.protocol != "grpc":
        return []
    return [
        lua("status", _STATUS),
        {"name": "grpc", "typed_config": {"@type": f"{_FILTERS}.grpc_http1_bridge.v3.Config"}},
    ]


def _tls(host: str, service: OwnService, protocol: Protocol) -> dict[str, Any]:
    """Return a TLS socket that trusts the given authority, or those of this system, for the host's name."""
    paths = ssl.get_default_verify_paths()
    authority = service.ca or paths.cafile or paths.openssl_cafile
    if not Path(authority).is_file():
        raise FileError(f"{authority}: no file with the authority of the service's certificate; name one by service.ca")
    try:
        ipaddress.ip_address(host)
        name = {"san_type": "IP_ADDRESS", "matcher": {"exact": host}}
        indicated = {}
    except ValueError:
        name = {"san_type": "DNS", "matcher": {"exact": host}}
        indicated = {"sni": host}
    trusted = {"trusted_ca": {"filename": str(Path(authority).absolute())}, "match_typed_subject_alt_names": [name]}
    alpn = {"alpn_protocols": ["h2"]} if protocol == "http2" else {}
    context = {"@type": f"{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext", **indicated}
    return {
        "name": "tls",
        "typed_config": {**context, "common_tls_context": {"validation_context": trusted, **alpn}},
    }

"""What stands behind the sidecar: where it is, how to talk to it, and what to ask it for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshgym.mesh.load.request import Request
from meshgym.rules.envoy_cluster import Protocol


@dataclass(frozen=True)
class Backend:
    """A service as the sidecar sees it.

    Attributes:
        endpoints: addresses of its replicas (Envoy's ``Address``), by priority.
        transport_socket: Envoy's, for TLS; None without.
        request: what each call sends.
        bootstraps: of Envoys that must run for it, by name.
        protocol: what the replicas speak.
        filters: that requests pass in the sidecar.
        probes: clusters to reach each replica alone, whatever the rules are; by the replica's URL.
    """

    endpoints: Sequence[Sequence[dict[str, Any]]]
    transport_socket: dict[str, Any] | None
    request: Request
    bootstraps: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    protocol: Protocol = "http1"
    filters: Sequence[dict[str, Any]] = ()
    probes: Mapping[str, dict[str, Any]] = field(default_factory=dict)

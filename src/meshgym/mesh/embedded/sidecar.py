"""The embedded mesh's client sidecar: its bootstrap configuration, and its cluster of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshgym.mesh.embedded.backend import Backend
from meshgym.mesh.embedded.bootstrap import RUN_HEADER, TYPE, bootstrap, connection_manager, delay
from meshgym.service.own import Service

#: Header of every request: the cluster of its lane.
CLUSTER_HEADER = "x-meshgym-cluster"
FLAGS_HEADER = "x-meshgym-flags"
#: Header of a probe's response: why there was no connection.
FAILURE_HEADER = "x-meshgym-failure"
METADATA = "meshgym"
#: What the sidecar counts, of a cluster: finished requests, each once whatever became of it, ejections so far and those
#: in force, and open connections; and of all: the clusters it has, and how often it refused some.
STATISTICS = (
    "upstream_rq_completed",
    "ejections_enforced_total",
    "ejections_active",
    "upstream_cx_active",
    "version_text",
    "update_rejected",
)


def cluster_name(lane: int, secret: str) -> str:
    """Name a lane's cluster of the service under test, as Istio names that of a subset.

    Only who knows the mesh's secret can name a cluster, so others on the machine reach no replica.
    """
    return f"outbound|8000|lane-{lane}-{secret}|service.default.svc.cluster.local"


def sidecar_bootstrap(folder: Path, service: Service, backend: Backend, cds: Path) -> dict[str, Any]:
    """Return the client's sidecar: Istio's outbound route, with clusters from the file ``cds``.

    It listens on TCP, as a real one: how the kernel spreads connections over its workers is part of what is measured.
    What a VirtualService says of retries and timeouts comes with each request, see :mod:`meshgym.rules.route`.
    """
    retries = {
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "num_retries": 2,
        "host_selection_retry_max_attempts": 5,
        "retry_host_predicate": [
            {
                "name": "previous_hosts",
                "typed_config": {"@type": f"{TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ],
    }
    stamps = {
        RUN_HEADER: f"%CLUSTER_METADATA({METADATA}:run)%",
        FLAGS_HEADER: "%RESPONSE_FLAGS%",
    } | ({FAILURE_HEADER: "%UPSTREAM_TRANSPORT_FAILURE_REASON%"} if backend.probes else {})
    route = {
        "route": {"cluster_header": CLUSTER_HEADER, "timeout": "0s", "retry_policy": retries},
        "response_headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in stamps.items()
        ],
    }
    manager = connection_manager("outbound", route, [*delay(service.network_delay_ms), *backend.filters])
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    listener = {"name": "outbound", "address": address, "filter_chains": [{"filters": [manager]}]}
    source = {"path_config_source": {"path": str(cds)}, "resource_api_version": "V3"}
    return bootstrap(
        folder,
        "sidecar",
        [listener],
        list(STATISTICS),
        static={"clusters": [*backend.probes.values()]} if backend.probes else {},
        dynamic_resources={"cds_config": source},
    )


def service_cluster(cluster: dict[str, Any], backend: Backend, run: str) -> dict[str, Any]:
    """Return ``cluster`` with the replicas as endpoints, and the ``run``.

    The run's number makes each configuration a new one. So Envoy rebuilds the cluster with fresh hosts, which clears
    ejections and open connections.
    """
    endpoints = [
        {"priority": priority, "lb_endpoints": [{"endpoint": {"address": address}} for address in part]}
        for priority, part in enumerate(backend.endpoints)
        if part
    ]
    whole = {
        **cluster,
        "load_assignment": {"cluster_name": cluster["name"], "endpoints": endpoints},
        "metadata": {"filter_metadata": {METADATA: {"run": run}}},
    }
    if backend.transport_socket is not None:
        whole["transport_socket"] = backend.transport_socket
    return {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", **whole}

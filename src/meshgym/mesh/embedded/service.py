"""Bootstrap configurations of the embedded mesh's two Envoys: the client's sidecar and the service.

The service under test is an Envoy too. It responds by itself after a fixed service time, each replica from its own
token bucket. So the CPU is left to what is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshgym.mesh.embedded.certificates import Certificates
from meshgym.service_profile import ServiceProfile

#: Header of every request: the cluster of its lane.
CLUSTER_HEADER = "x-meshgym-cluster"
#: Header of every request: its run's number; and of every response: the run that its rules were made for.
RUN_HEADER = "x-meshgym-run"
FLAGS_HEADER = "x-meshgym-flags"
METADATA = "meshgym"
#: What the sidecar counts, of a cluster: finished requests, each once whatever became of it, ejections so far and those
#: in force; and of all: the clusters it has, and how often it refused some.
STATISTICS = (
    "upstream_rq_completed",
    "ejections_enforced_total",
    "ejections_active",
    "version_text",
    "update_rejected",
)

_TYPE = "type.googleapis.com/envoy.extensions"
_ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def cluster_name(lane: int, secret: str) -> str:
    """Name a lane's cluster of the service under test, as Istio names that of a subset.

    Only who knows the mesh's secret can name a cluster, so others on the machine reach no replica.
    """
    return f"outbound|8000|lane-{lane}-{secret}|service.default.svc.cluster.local"


def _loopback() -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": 0}}


def socket_in(folder: Path, name: str) -> Path:
    """Return where a Unix socket lies: in a folder that only this user can enter."""
    return folder / f"{name}.sock"


def _pipe(path: Path) -> dict[str, Any]:
    return {"pipe": {"path": str(path), "mode": 0o600}}


def _connection_manager(
    name: str, route: dict[str, Any], filters: list[dict[str, Any]], codec: str = "HTTP1"
) -> dict[str, Any]:
    host = {"name": name, "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}
    router = {
        "name": "router",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.router.v3.Router",
            "suppress_envoy_headers": False,
        },
    }
    return {
        "name": "http",
        "typed_config": {
            "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": codec,
            "generate_request_id": False,
            "route_config": {"name": name, "virtual_hosts": [host], "validate_clusters": False},
            "http_filters": [*filters, router],
        },
    }


def _delay(milliseconds: int, percent: int = 100) -> list[dict[str, Any]]:
    if not milliseconds:
        return []
    share = {"numerator": percent, "denominator": "HUNDRED"}
    fault = {
        "@type": f"{_TYPE}.filters.http.fault.v3.HTTPFault",
        "delay": {"fixed_delay": f"{milliseconds / 1000:.3f}s", "percentage": share},
    }
    return [{"name": "delay", "typed_config": fault}]


def _capacity(burst: int, rate_per_s: int, lanes: int) -> dict[str, Any]:
    """Return a token bucket per run: a dynamic descriptor on the run header, so every run starts with a full one."""
    bucket = {"max_tokens": burst, "tokens_per_fill": rate_per_s, "fill_interval": "1s"}
    limit = {
        "@type": f"{_TYPE}.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "capacity",
        "token_bucket": bucket,
        "always_consume_default_token_bucket": False,
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
        "status": {"code": "ServiceUnavailable"},
        "descriptors": [{"entries": [{"key": "run"}], "token_bucket": bucket}],
        "max_dynamic_descriptors": 2 * lanes + 2,  # the least recently used are forgotten
        "rate_limits": [{"actions": [{"request_headers": {"header_name": RUN_HEADER, "descriptor_key": "run"}}]}],
    }
    return {"name": "capacity", "typed_config": limit}


def _bootstrap(
    folder: Path, name: str, listeners: list[dict[str, Any]], statistics: list[str], **more: Any
) -> dict[str, Any]:
    """Return a bootstrap that keeps only statistics with these parts in their names; all of them would cost time."""
    kept = {"inclusion_list": {"patterns": [{"contains": part} for part in statistics]}}
    return {
        "node": {"id": name, "cluster": "meshgym"},
        "admin": {"address": _pipe(socket_in(folder, name))},
        "stats_config": {"stats_matcher": kept if statistics else {"reject_all": True}},
        "static_resources": {"listeners": listeners},
        **more,
    }


def replica_names(profile: ServiceProfile) -> list[str]:
    """Return the names of the replicas: weak ones first, standby ones last."""
    return [f"replica-{number}" for number in range(profile.replicas + profile.standby_replicas)]


def service_bootstrap(
    folder: Path, profile: ServiceProfile, certificates: Certificates | None, lanes: int = 1
) -> dict[str, Any]:
    """Return the service: one listener per replica, each with its own capacity for as many runs as there are lanes.

    Args:
        folder: holds the sockets.
        profile: of the service.
        certificates: of both sides; None without mutual TLS.
        lanes: runs at once.
    """
    reply = {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    listeners = []
    for number, name in enumerate(replica_names(profile)):
        share = profile.weakness if number < profile.weak_replicas else 1
        capacity = _capacity(max(profile.burst // share, 1), max(profile.rate_per_s // share, 1), lanes)
        filters = [*_delay(profile.service_time_ms), *_delay(profile.spread_ms, 50), capacity]
        chain: dict[str, Any] = {"filters": [_connection_manager("replica", reply, filters, "AUTO")]}
        if certificates is not None:
            chain["transport_socket"] = certificates.server_socket()
        address = _pipe(socket_in(folder, name))
        listeners.append({"name": name, "address": address, "filter_chains": [chain]})
    return _bootstrap(folder, "service", listeners, [])


def sidecar_bootstrap(folder: Path, profile: ServiceProfile, cds: Path) -> dict[str, Any]:
    """Return the client's sidecar: Istio's outbound route, with clusters from the file ``cds``.

    It listens on TCP, as a real one: how the kernel spreads connections over its workers is part of what is measured.
    """
    retries = {
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "num_retries": 2,
        "host_selection_retry_max_attempts": 5,
        "retry_host_predicate": [
            {
                "name": "previous_hosts",
                "typed_config": {"@type": f"{_TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ],
    }
    stamps = {
        RUN_HEADER: f"%CLUSTER_METADATA({METADATA}:run)%",
        FLAGS_HEADER: "%RESPONSE_FLAGS%",
    }
    route = {
        "route": {"cluster_header": CLUSTER_HEADER, "timeout": "0s", "retry_policy": retries},
        "response_headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in stamps.items()
        ],
    }
    manager = _connection_manager("outbound", route, _delay(profile.network_delay_ms))
    listener = {"name": "outbound", "address": _loopback(), "filter_chains": [{"filters": [manager]}]}
    source = {"path_config_source": {"path": str(cds)}, "resource_api_version": "V3"}
    return _bootstrap(folder, "sidecar", [listener], list(STATISTICS), dynamic_resources={"cds_config": source})


def service_cluster(
    cluster: dict[str, Any], replicas: list[Path], in_use: int, run: str, certificates: Certificates | None
) -> dict[str, Any]:
    """Return ``cluster`` with the replicas as endpoints, the first ``in_use`` before the others, and the ``run``.

    The run's number makes each configuration a new one. So Envoy rebuilds the cluster with fresh hosts, which clears
    ejections and open connections. One standby replica takes over first, the others if it fails too; with several at
    once, chance would spread the connections over them.

    One field differs from istiod's: Envoy holds back changes of health for ``update_merge_window`` (1 s) after the last
    one, building the cluster included. In a mesh that runs for days, the first ejection acts at once; with a cluster
    built for each run, it would come after the run.
    """
    parts = (replicas[:in_use], replicas[in_use : in_use + 1], replicas[in_use + 1 :])
    endpoints = [
        {"priority": priority, "lb_endpoints": [{"endpoint": {"address": _pipe(path)}} for path in part]}
        for priority, part in enumerate(parts)
        if part
    ]
    whole = {
        **cluster,
        "load_assignment": {"cluster_name": cluster["name"], "endpoints": endpoints},
        "common_lb_config": {**cluster.get("common_lb_config", {}), "update_merge_window": "0s"},
        "metadata": {"filter_metadata": {METADATA: {"run": run}}},
    }
    if certificates is not None:
        whole["transport_socket"] = certificates.client_socket()
    return {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", **whole}

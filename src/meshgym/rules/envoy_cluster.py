"""Translate a ``trafficPolicy`` to an Envoy cluster (v3) as istiod does, and find where a real one deviates.

Source: istio ``pilot/pkg/networking/core/cluster_traffic_policy.go`` (1.29..1.31). A test holds it against clusters
that a real istiod made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from meshgym.fields import OF_DESTINATION_RULE, RULES, UINT32_MAX, Field
from meshgym.rules.policy import Policy, duration, find, given, seconds, tree

#: What istiod sets if neither rule nor mesh has one.
CONNECT_TIMEOUT = "10s"
#: How a service's port is declared, by its name or ``appProtocol``; ``sniffed`` if by neither.
Protocol = Literal["http1", "http2", "sniffed"]

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_THRESHOLDS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")


def envoy_cluster(
    policy: Policy,
    name: str,
    *,
    protocol: Protocol = "http1",
    connect_timeout: str = CONNECT_TIMEOUT,
    discovery: str = "STATIC",
) -> dict[str, Any]:
    """Return the Envoy cluster that istiod makes of a ``trafficPolicy``, without its endpoints.

    Args:
        policy: the one in force, see :func:`meshgym.rules.policy.policy_in_force`.
        name: of the cluster.
        protocol: of the service's port.
        connect_timeout: the mesh's.
        discovery: the cluster's type; istiod makes ``EDS`` of a service, ``ORIGINAL_DST`` of a headless one.
    """
    placed = _placed(policy)
    thresholds = dict.fromkeys(_THRESHOLDS, UINT32_MAX) | placed.pop("circuit_breakers", {})
    common, http2 = (placed.pop(f"{part}_protocol_options", {}) for part in ("common_http", "http2"))
    detection, balancing = placed.pop("outlier_detection", {}), placed.pop("common_lb_config", {})
    cluster: dict[str, Any] = {
        "name": name,
        "type": discovery,
        "connect_timeout": connect_timeout,
        **placed,
        "circuit_breakers": {"thresholds": [thresholds]},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, **balancing, **_localities(policy)},
        **_balancer(policy, discovery),
    }
    if find(policy, "connectionPool.tcp.tcpKeepalive") is not None:
        cluster.setdefault("upstream_connection_options", {"tcp_keepalive": {}})
    if policy.get("outlierDetection") is not None:
        apart = detection.get("split_external_local_origin_errors")
        local = {"enforcing_local_origin_success_rate": 0} if apart else {}
        cluster["outlier_detection"] = {"enforcing_success_rate": 0, **local, **detection}
    if options := _http_options(policy, common, http2, protocol):
        cluster["typed_extension_protocol_options"] = {HTTP_OPTIONS: options}
    return cluster


def _placed(policy: Policy) -> dict[str, Any]:
    """Return the values of all fields where the cluster has them."""
    values: dict[str, Any] = {}
    for field in OF_DESTINATION_RULE.values():
        value = _value(field, policy)
        if field.envoy and value is not None:
            values[field.envoy] = value
            if field.enforcing:
                values[field.enforcing] = 100 if value else 0
    idle = given(RULES["tcp_idle_timeout_s"], policy)
    if idle is not None:
        values.setdefault(RULES["idle_timeout_s"].envoy, duration(idle))
    return tree(values)


def _value(field: Field, policy: Policy) -> Any:
    """Return a field's value as Envoy takes it; None if istiod sends none."""
    value = given(field, policy)
    if value is None and field.destination_rule.startswith("retryBudget.") and policy.get("retryBudget") is not None:
        value = field.absent
    if value is None:
        return None
    if field.name == "consecutive_local_origin_failures":  # of no effect alone
        apart = find(policy, RULES["split_external_local_origin_errors"].destination_rule)
        return int(value) if apart and value else None
    if field.kind == "seconds" and not field.name.startswith("tcp_keepalive"):
        return duration(value)
    if field.kind == "flag":
        return bool(value) or None
    return value if field.kind == "number" else int(value)


def _http_options(policy: Policy, common: Policy, http2: Policy, protocol: Protocol) -> dict[str, Any]:
    pool = find(policy, "connectionPool.http") or {}
    upstream: dict[str, Any] = {}
    if pool.get("useClientProtocol") or (protocol == "sniffed" and pool.get("h2UpgradePolicy") != "UPGRADE"):
        upstream["use_downstream_protocol_config"] = {"http_protocol_options": {}, "http2_protocol_options": {}}
    elif pool.get("h2UpgradePolicy") == "UPGRADE" or protocol == "http2":
        upstream["explicit_http_config"] = {"http2_protocol_options": http2}
    elif common or http2:
        upstream["explicit_http_config"] = {"http_protocol_options": {}}
    else:
        return {}
    shared = {"common_http_protocol_options": common} if common or http2 else {}
    return {"@type": f"type.googleapis.com/{HTTP_OPTIONS}", **shared, **upstream}


def _balancer(policy: Policy, discovery: str) -> dict[str, Any]:
    settings = policy.get("loadBalancer") or {}
    simple = settings.get("simple")
    if discovery == "ORIGINAL_DST" or simple == "PASSTHROUGH":
        return {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
    kind = simple if simple in ("RANDOM", "ROUND_ROBIN") else "LEAST_REQUEST"
    made: dict[str, Any] = {}
    if kind != "RANDOM" and (start := _slow_start(settings)):
        made[f"{kind.lower()}_lb_config"] = {"slow_start_config": start}
    hashed = settings.get("consistentHash")
    if hashed is None:
        return {"lb_policy": kind, **made}
    if hashed.get("maglev") is not None:
        size = hashed["maglev"].get("tableSize")
        return {"lb_policy": "MAGLEV", **({"maglev_lb_config": {"table_size": size}} if size else made)}
    ring = hashed.get("ringHash")
    size = ring.get("minimumRingSize") if ring is not None else hashed.get("minimumRingSize") or 1024
    return {"lb_policy": "RING_HASH", **({"ring_hash_lb_config": {"minimum_ring_size": size}} if size else made)}


def _slow_start(settings: Policy) -> dict[str, Any]:
    warmup, window = settings.get("warmup"), settings.get("warmupDurationSecs")
    if warmup is None:
        return {"slow_start_window": duration(seconds(window))} if window is not None else {}
    aggression, least = (RULES[f"warmup_{name}"] for name in ("aggression", "minimum_percent"))
    policy = {"loadBalancer": {"warmup": warmup}}
    values = [value if (value := given(field, policy)) is not None else field.absent for field in (aggression, least)]
    return {
        "slow_start_window": duration(seconds(warmup["duration"])),
        "aggression": {"default_value": values[0], "runtime_key": "("},
        "min_weight_percent": {"value": values[1]},
    }


def _localities(policy: Policy) -> dict[str, Any]:
    setting = find(policy, "loadBalancer.localityLbSetting") or {}
    failover = policy.get("outlierDetection") is not None and (
        setting.get("failover") or setting.get("failoverPriority")
    )
    weighted = setting.get("enabled") is not False and (failover or setting.get("distribute"))
    return {"locality_weighted_lb_config": {}} if weighted else {}


def deviations(cluster: Policy, policy: Policy) -> list[str]:
    """Return where a cluster of Envoy's configuration dump isn't what istiod makes of ``policy``.

    Compares the circuit breakers, the outlier detection, the requests and the times of a connection, the load balancer
    and the panic threshold.
    """
    expected = envoy_cluster(policy, cluster["name"])
    return [
        f"{name} is {found!r}, not {value!r}"
        for name, value in _limits(expected).items()
        if _amount(found := _limits(cluster).get(name)) != _amount(value)
    ]


def _limits(cluster: Policy) -> dict[str, Any]:
    """Return all that a ``trafficPolicy`` decides of an Envoy cluster, flat."""
    thresholds = cluster.get("circuit_breakers", {}).get("thresholds", [])
    default = [one for one in thresholds if one.get("priority", "DEFAULT") == "DEFAULT"]
    options = cluster.get("typed_extension_protocol_options", {}).get(HTTP_OPTIONS, {})
    return {
        "connect_timeout": cluster.get("connect_timeout"),
        "lb_policy": cluster.get("lb_policy", "ROUND_ROBIN"),
        **(default[0] if default else {}),
        **cluster.get("outlier_detection", {}),
        **options.get("common_http_protocol_options", {}),
        "healthy_panic_threshold": find(cluster, "common_lb_config.healthy_panic_threshold.value"),
    }


def _amount(value: Any) -> Any:
    """Return durations in seconds (Envoy prints ``0.250s`` for ``0.25s``), and 0 for what Envoy leaves out."""
    if isinstance(value, Mapping):
        return {key: _amount(inner) for key, inner in value.items()}
    return seconds(value) if isinstance(value, str) and value.endswith("s") else value or 0

"""Traffic rules <-> DestinationRule -> Envoy cluster, as istiod translates them, and whether Envoy holds it.

Source: istio ``pilot/pkg/networking/core/cluster_traffic_policy.go`` (1.29).
"""

from __future__ import annotations

import re
from typing import Any

from meshgym.errors import InvalidValueError
from meshgym.fields import INT32_MAX
from meshgym.types import TrafficRules

_UNLIMITED = 2**32 - 1
#: What istiod sets where a ``connectionPool`` has none.
CONNECT_TIMEOUT = "10s"
#: A Go duration, as Kubernetes takes it: ``3m``, ``0.25s``, ``1m30s``.
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def traffic_policy(rules: TrafficRules) -> dict[str, Any]:
    """``spec.trafficPolicy`` of the DestinationRule that puts ``rules`` in force."""
    return {
        "connectionPool": {
            "tcp": {"maxConnections": rules.max_connections},
            "http": {
                "http1MaxPendingRequests": rules.http1_max_pending_requests,
                "maxRequestsPerConnection": rules.max_requests_per_connection,
            },
        },
        "outlierDetection": {
            "consecutive5xxErrors": rules.consecutive_5xx_errors,
            "interval": duration(rules.interval_s),
            "baseEjectionTime": duration(rules.base_ejection_time_s),
            "maxEjectionPercent": rules.max_ejection_percent,
        },
    }


def traffic_rules(policy: dict[str, Any]) -> TrafficRules:
    """The rules that a ``trafficPolicy`` puts in force: the inverse of :func:`traffic_policy`.

    What is absent, or 0 where istiod reads that as absent, is what Envoy then does: no limit (as 2147483647)
    in the connection pool; 5 errors, 10 s, 30 s and 10 % in an outlier detection, and no ejections without one.

    Raises:
        InvalidValueError: a value that is no duration, or outside the range of :class:`TrafficRules`.
    """
    pool = policy.get("connectionPool", {})
    http, tcp = pool.get("http", {}), pool.get("tcp", {})
    detection = policy.get("outlierDetection", {"consecutive5xxErrors": 0})
    return TrafficRules(
        http1_max_pending_requests=http.get("http1MaxPendingRequests") or INT32_MAX,
        max_connections=tcp.get("maxConnections") or INT32_MAX,
        max_requests_per_connection=http.get("maxRequestsPerConnection") or INT32_MAX,
        base_ejection_time_s=seconds(detection.get("baseEjectionTime", "30s")),
        max_ejection_percent=detection.get("maxEjectionPercent") or 10,
        interval_s=seconds(detection.get("interval", "10s")),
        consecutive_5xx_errors=detection.get("consecutive5xxErrors", 5),
    )


def duration(seconds: float) -> str:
    """A protobuf duration, to the nanosecond: ``180s``, ``0.25s``."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def seconds(duration: object, name: str = "duration") -> float:
    """Seconds of a duration as DestinationRules have it: ``"3m"``, ``"0.25s"``.

    Args:
        duration: a string with units.
        name: what errors call it.

    Raises:
        InvalidValueError: no such string.
    """
    parts = _DURATION.findall(duration) if isinstance(duration, str) else []
    if not parts or "".join(map("".join, parts)) != duration:
        raise InvalidValueError(name, duration, "a string with units, such as '3m', '1s' or '250ms'")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def envoy_cluster(policy: dict[str, Any], name: str) -> dict[str, Any]:
    """The Envoy cluster (v3) istiod makes of a ``trafficPolicy``, without its endpoints."""
    pool = policy.get("connectionPool", {})
    http = pool.get("http", {})
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": _protobuf(pool.get("tcp", {}).get("connectTimeout", CONNECT_TIMEOUT)),
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": pool.get("tcp", {}).get("maxConnections") or _UNLIMITED,
                    "max_pending_requests": http.get("http1MaxPendingRequests") or _UNLIMITED,
                    "max_requests": http.get("http2MaxRequests") or _UNLIMITED,
                    "max_retries": http.get("maxRetries") or _UNLIMITED,
                }
            ]
        },
    }
    names = {"maxRequestsPerConnection": "max_requests_per_connection", "idleTimeout": "idle_timeout"}
    options = {names[key]: _protobuf(http[key]) for key in names if http.get(key)}
    if options:
        cluster["typed_extension_protocol_options"] = {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "common_http_protocol_options": options,
                "explicit_http_config": {"http_protocol_options": {}},
            }
        }
    if "outlierDetection" in policy:
        cluster |= _outlier_detection(policy["outlierDetection"])
    return cluster


def _protobuf(value: Any) -> Any:
    """A DestinationRule's value as Envoy takes it: ``3m`` is ``180s``."""
    return duration(seconds(value)) if isinstance(value, str) else value


def _outlier_detection(detection: dict[str, Any]) -> dict[str, Any]:
    envoy: dict[str, Any] = {"enforcing_success_rate": 0}
    if "consecutive5xxErrors" in detection:
        count = detection["consecutive5xxErrors"]
        envoy |= {"consecutive_5xx": count, "enforcing_consecutive_5xx": 100 if count else 0}
    names = {
        "interval": "interval",
        "baseEjectionTime": "base_ejection_time",
        "maxEjectionPercent": "max_ejection_percent",
    }
    envoy |= {names[key]: _protobuf(detection[key]) for key in names if detection.get(key)}
    panic = {"value": detection.get("minHealthPercent", 0)}
    return {"outlier_detection": envoy, "common_lb_config": {"healthy_panic_threshold": panic}}


def deviations(cluster: dict[str, Any], policy: dict[str, Any]) -> list[str]:
    """Where a cluster of Envoy's configuration dump is not what istiod makes of ``policy``; empty where it is.

    Compared are the circuit breakers, the outlier detection, the requests and the idle time of a connection, and the
    time to connect.
    """
    expected = envoy_cluster(policy, cluster["name"])
    return [
        f"{name} is {found!r}, not {value!r}"
        for name, value in _limits(expected).items()
        if _amount(found := _limits(cluster).get(name)) != _amount(value)
    ]


def _limits(cluster: dict[str, Any]) -> dict[str, Any]:
    """What a ``trafficPolicy`` decides of an Envoy cluster, flat."""
    thresholds = cluster.get("circuit_breakers", {}).get("thresholds", [])
    default = [one for one in thresholds if one.get("priority", "DEFAULT") == "DEFAULT"]
    options = cluster.get("typed_extension_protocol_options", {}).get(_HTTP_OPTIONS, {})
    return {
        "connect_timeout": cluster.get("connect_timeout"),
        **(default[0] if default else {}),
        **cluster.get("outlier_detection", {}),
        **options.get("common_http_protocol_options", {}),
    }


def _amount(value: Any) -> Any:
    """Durations in seconds (Envoy prints ``0.250s`` for ``0.25s``); what Envoy leaves out is 0."""
    return seconds(value) if isinstance(value, str) and value.endswith("s") else value or 0

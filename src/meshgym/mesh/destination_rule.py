"""Traffic rules -> DestinationRule -> Envoy cluster, as istiod translates them.

Source: istio ``pilot/pkg/networking/core/cluster_traffic_policy.go`` (1.29).
"""

from __future__ import annotations

from typing import Any

from meshgym.types import TrafficRules

_UNLIMITED = 2**32 - 1
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
            "interval": _duration(rules.interval_s),
            "baseEjectionTime": _duration(rules.base_ejection_time_s),
            "maxEjectionPercent": rules.max_ejection_percent,
        },
    }


def _duration(seconds: float) -> str:
    """A protobuf duration: ``180s``, ``0.25s``."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def envoy_cluster(policy: dict[str, Any], name: str) -> dict[str, Any]:
    """The Envoy cluster (v3) istiod makes of a ``trafficPolicy``, without its endpoints."""
    pool = policy.get("connectionPool", {})
    http = pool.get("http", {})
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": pool.get("tcp", {}).get("maxConnections") or _UNLIMITED,
                    "max_pending_requests": http.get("http1MaxPendingRequests") or _UNLIMITED,
                    "max_requests": _UNLIMITED,
                    "max_retries": _UNLIMITED,
                }
            ]
        },
    }
    if http.get("maxRequestsPerConnection"):
        cluster["typed_extension_protocol_options"] = {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "common_http_protocol_options": {"max_requests_per_connection": http["maxRequestsPerConnection"]},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        }
    if "outlierDetection" in policy:
        cluster |= _outlier_detection(policy["outlierDetection"])
    return cluster


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
    envoy |= {names[key]: detection[key] for key in names if detection.get(key)}
    panic = {"value": detection.get("minHealthPercent", 0)}
    return {"outlier_detection": envoy, "common_lb_config": {"healthy_panic_threshold": panic}}

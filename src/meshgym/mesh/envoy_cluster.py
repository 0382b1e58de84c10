"""Translate a ``trafficPolicy`` to an Envoy cluster (v3) as istiod does, and find where a real one deviates.

Source: istio ``pilot/pkg/networking/core/cluster_traffic_policy.go`` (1.29).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshgym.fields import RULES
from meshgym.mesh.destination_rule import duration, find, seconds

#: What istiod sets if a ``connectionPool`` has none.
CONNECT_TIMEOUT = "10s"
_UNLIMITED = 2**32 - 1
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#: Fields of a ``trafficPolicy`` -> where they stand in the cluster, the rules first.
_PLACES = {
    **{field.destination_rule: field.envoy for field in RULES.values()},
    "connectionPool.http.http2MaxRequests": "circuit_breakers.max_requests",
    "connectionPool.http.maxRetries": "circuit_breakers.max_retries",
    "connectionPool.http.idleTimeout": "common_http_protocol_options.idle_timeout",
}
#: Fields of which 0 is a value; istiod reads it as "not set" in the others.
_ZEROS = {field.destination_rule for field in RULES.values() if field.low == 0}


def envoy_cluster(policy: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the Envoy cluster that istiod makes of a ``trafficPolicy``, without its endpoints."""
    sections: dict[str, dict[str, Any]] = {}
    for path, place in _PLACES.items():
        section, key = place.split(".")
        value, values = find(policy, path), sections.setdefault(section, {})
        if value or (value == 0 and path in _ZEROS):
            values[key] = _protobuf(value)
        elif section == "circuit_breakers":
            values[key] = _UNLIMITED
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": _protobuf(find(policy, "connectionPool.tcp.connectTimeout") or CONNECT_TIMEOUT),
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [sections["circuit_breakers"]]},
    }
    if options := sections["common_http_protocol_options"]:
        cluster["typed_extension_protocol_options"] = {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "common_http_protocol_options": options,
                "explicit_http_config": {"http_protocol_options": {}},
            }
        }
    if "outlierDetection" in policy:
        detection = sections["outlier_detection"]
        if "consecutive_5xx" in detection:
            detection["enforcing_consecutive_5xx"] = 100 if detection["consecutive_5xx"] else 0
        cluster["outlier_detection"] = {"enforcing_success_rate": 0, **detection}
        panic = {"value": policy["outlierDetection"].get("minHealthPercent", 0)}
        cluster["common_lb_config"] = {"healthy_panic_threshold": panic}
    return cluster


def _protobuf(value: Any) -> Any:
    """Write a value as Envoy takes it: ``180s`` for ``3m``."""
    return duration(seconds(value)) if isinstance(value, str) else value


def deviations(cluster: Mapping[str, Any], policy: Mapping[str, Any]) -> list[str]:
    """Return where a cluster of Envoy's configuration dump isn't what istiod makes of ``policy``.

    Compares the circuit breakers, the outlier detection, the requests and the idle time of a connection, and the
    connect timeout.
    """
    expected = envoy_cluster(policy, cluster["name"])
    return [
        f"{name} is {found!r}, not {value!r}"
        for name, value in _limits(expected).items()
        if _amount(found := _limits(cluster).get(name)) != _amount(value)
    ]


def _limits(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a ``trafficPolicy`` decides of an Envoy cluster, flat."""
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
    """Return durations in seconds (Envoy prints ``0.250s`` for ``0.25s``), and 0 for what Envoy leaves out."""
    return seconds(value) if isinstance(value, str) and value.endswith("s") else value or 0

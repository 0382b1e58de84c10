"""Rules become what istiod would make of them."""

import pytest

from meshgym.rules.envoy_cluster import envoy_cluster
from meshgym.rules.policy import traffic_policy
from meshgym.types import TrafficRules

RULES = TrafficRules(2, 3, 4, 180, 50, 0.25, 6)


def test_traffic_policy_has_istios_fields_and_units():
    assert traffic_policy(RULES) == {
        "connectionPool": {
            "tcp": {"maxConnections": 3},
            "http": {"http1MaxPendingRequests": 2, "maxRequestsPerConnection": 4},
        },
        "outlierDetection": {
            "consecutive5xxErrors": 6,
            "interval": "0.25s",
            "baseEjectionTime": "180s",
            "maxEjectionPercent": 50,
        },
    }


def test_cluster_has_the_rules_where_envoy_wants_them():
    cluster = envoy_cluster(traffic_policy(RULES), "service")
    (threshold,) = cluster["circuit_breakers"]["thresholds"]
    assert threshold["max_connections"] == 3
    assert threshold["max_pending_requests"] == 2
    assert threshold["max_requests"] == threshold["max_retries"] == 4294967295
    (options,) = cluster["typed_extension_protocol_options"].values()
    assert options["common_http_protocol_options"] == {"max_requests_per_connection": 4}
    assert cluster["outlier_detection"] == {
        "enforcing_success_rate": 0,
        "consecutive_5xx": 6,
        "enforcing_consecutive_5xx": 100,
        "interval": "0.25s",
        "base_ejection_time": "180s",
        "max_ejection_percent": 50,
    }
    assert cluster["common_lb_config"] == {"healthy_panic_threshold": {"value": 0}}


def test_an_empty_policy_leaves_envoys_defaults():
    cluster = envoy_cluster({}, "service")
    assert "outlier_detection" not in cluster
    assert "typed_extension_protocol_options" not in cluster
    assert cluster["circuit_breakers"]["thresholds"][0]["max_connections"] == 4294967295


def test_durations_become_what_envoy_reads():
    http, detection = {"idleTimeout": "1h"}, {"interval": "250ms", "baseEjectionTime": "3m"}
    policy = {"connectionPool": {"http": http, "tcp": {"connectTimeout": "1m30s"}}, "outlierDetection": detection}
    cluster = envoy_cluster(policy, "service")
    (options,) = cluster["typed_extension_protocol_options"].values()
    assert options["common_http_protocol_options"] == {"idle_timeout": "3600s"}
    assert cluster["connect_timeout"] == "90s"
    assert cluster["outlier_detection"]["interval"] == "0.25s"
    assert cluster["outlier_detection"]["base_ejection_time"] == "180s"


@pytest.mark.parametrize(("errors", "enforced"), [(0, 0), (1, 100)])
def test_no_consecutive_errors_means_no_ejection(errors, enforced):
    policy = {"outlierDetection": {"consecutive5xxErrors": errors}}
    detection = envoy_cluster(policy, "service")["outlier_detection"]
    assert detection["enforcing_consecutive_5xx"] == enforced
    assert "interval" not in detection

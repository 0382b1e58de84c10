"""DestinationRules as YAML: what is written is valid, what is read is checked field by field."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.fields import INT32_MAX
from meshgym.rules.destination_rule import DestinationRule, choose, read_manifest
from meshgym.rules.policy import seconds, traffic_policy, traffic_rules
from meshgym.types import RULE_NAMES, TrafficRules

#: Of Istio's circuit-breaking task, with 5 for its 1 where these would be hard to tell apart.
TASK = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: httpbin
spec:
  host: httpbin
  trafficPolicy:
    connectionPool:
      tcp:
        maxConnections: 1
      http:
        http1MaxPendingRequests: 2
        maxRequestsPerConnection: 3
    outlierDetection:
      consecutive5xxErrors: 5
      interval: 1s
      baseEjectionTime: 3m
      maxEjectionPercent: 100
"""

at_least_one = st.integers(1, INT32_MAX)
durations = st.integers(1, 10**12).map(lambda milliseconds: milliseconds / 1000)
rules = st.builds(
    TrafficRules,
    at_least_one,
    at_least_one,
    at_least_one,
    durations,
    st.integers(1, 100),
    durations,
    st.integers(0, INT32_MAX),
)
labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=3).map(".".join)


def edited(path, value):
    """The task's manifest with one field set, or taken out where ``value`` is None."""
    document = yaml.safe_load(TASK)
    *parents, last = path.split(".")
    inner = document
    for name in parents:
        inner = inner.setdefault(name, {})
    inner[last] = value
    if value is None:
        del inner[last]
    return yaml.safe_dump(document)


def in_force(text):
    return traffic_rules(choose(read_manifest(text)).policy, RULE_NAMES)


def test_istios_own_example():
    found = DestinationRule.from_yaml(TASK)
    assert (found.name, found.namespace, found.host) == ("httpbin", "default", "httpbin")
    assert found.rules == TrafficRules(2, 1, 3, 180, 100, 1, 5)


@given(rules=rules, name=names, namespace=labels, host=names)
def test_what_is_written_is_read_back(rules, name, namespace, host):
    rule = DestinationRule.of(name, namespace, host, rules)
    assert DestinationRule.from_yaml(rule.to_yaml()) == rule


@given(rules=rules)
def test_a_policy_gives_its_rules_back(rules):
    assert traffic_rules(traffic_policy(rules), rules.to_dict()) == rules


def test_what_is_written_has_the_fields_of_the_current_version():
    document = yaml.safe_load(DestinationRule.of("shop", "market", "shop.market.svc", TrafficRules(*[1] * 7)).to_yaml())
    assert document == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "shop", "namespace": "market"},
        "spec": {"host": "shop.market.svc", "trafficPolicy": traffic_policy(TrafficRules(*[1] * 7))},
    }


@pytest.mark.parametrize("value", [None, 0])
def test_an_unset_limit_is_no_limit(value):
    for field in ("tcp.maxConnections", "http.http1MaxPendingRequests", "http.maxRequestsPerConnection"):
        found = in_force(edited(f"spec.trafficPolicy.connectionPool.{field}", value))
        pools = (found.max_connections, found.http1_max_pending_requests, found.max_requests_per_connection)
        assert sorted(pools)[2] == INT32_MAX
        assert sorted(pools)[1] < INT32_MAX


def test_an_outlier_detection_without_values_has_envoys():
    found = in_force(edited("spec.trafficPolicy.outlierDetection", {}))
    assert found == TrafficRules(2, 1, 3, 30, 10, 10, 5)
    percent = in_force(edited("spec.trafficPolicy.outlierDetection.maxEjectionPercent", 0))
    assert percent.max_ejection_percent == 10


@pytest.mark.parametrize("path", ["spec.trafficPolicy.outlierDetection", "spec.trafficPolicy"])
def test_without_an_outlier_detection_nothing_is_ejected(path):
    assert in_force(edited(path, None)).consecutive_5xx_errors == 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("apiVersion", "v1"),
        ("apiVersion", None),
        ("metadata", []),
        ("metadata.name", "Shop"),
        ("metadata.name", "-shop"),
        ("metadata.namespace", "a.b"),
        ("metadata.namespace", 7),
        ("spec", "none"),
        ("spec.host", None),
        ("spec.host", "http://shop"),
        ("spec.host", "*shop"),
        ("spec.trafficPolicy", []),
        ("spec.trafficPolicy.connectionPool", 1),
        ("spec.trafficPolicy.connectionPool.tcp.maxConnections", -1),
        ("spec.trafficPolicy.connectionPool.tcp.maxConnections", 1.0),
        ("spec.trafficPolicy.connectionPool.tcp.maxConnections", True),
        ("spec.trafficPolicy.connectionPool.http.http1MaxPendingRequests", 2**31),
        ("spec.trafficPolicy.connectionPool.http.maxRequestsPerConnection", "1"),
        ("spec.trafficPolicy.outlierDetection.consecutive5xxErrors", -1),
        ("spec.trafficPolicy.outlierDetection.maxEjectionPercent", 101),
        ("spec.trafficPolicy.outlierDetection.maxEjectionPercent", -1),
        ("spec.trafficPolicy.outlierDetection.interval", 1),
        ("spec.trafficPolicy.outlierDetection.interval", "1"),
        ("spec.trafficPolicy.outlierDetection.interval", "0.9ms"),
        ("spec.trafficPolicy.outlierDetection.baseEjectionTime", "3 m"),
        ("spec.trafficPolicy.outlierDetection.baseEjectionTime", "-3m"),
        ("spec.trafficPolicy.outlierDetection.consecutiveErrors", 5),
    ],
)
def test_a_value_that_istio_refuses_is_named_with_its_path(path, value):
    with pytest.raises(InvalidValueError) as error:
        DestinationRule.from_yaml(edited(path, value))
    assert error.value.what == path
    assert str(value) in str(error.value) or value is None


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("spec.trafficpolicy", "trafficPolicy"),
        ("spec.trafficPolicy.outlierDetection.consecutive5xxError", "consecutive5xxErrors"),
        ("spec.trafficPolicy.outlierDetection.consecutiveGatewayError", "consecutiveGatewayErrors"),
    ],
)
def test_an_unknown_field_is_refused(path, nearest):
    with pytest.raises(UnknownNameError) as error:
        DestinationRule.from_yaml(edited(path, {}))
    parent, _, name = path.rpartition(".")
    assert f"field of {parent} is {name!r}" in str(error.value)
    assert nearest in str(error.value)


@pytest.mark.parametrize("text", ["", "kind: [", "a: 1\n---\nb: 2\n", "- 1"])
def test_what_is_no_single_document_is_refused(text):
    with pytest.raises(InvalidValueError):
        DestinationRule.from_yaml(text)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("3m", 180), ("1m30s", 90), ("250ms", 0.25), ("1.5h", 5400), (".5s", 0.5), ("1000us", 0.001), ("1s", 1)],
)
def test_durations_as_go_reads_them(duration, expected):
    assert seconds(duration) == pytest.approx(expected)

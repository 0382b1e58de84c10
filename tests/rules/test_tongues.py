"""A rule goes through another tongue and comes back as it was, where there are counterparts; the rest is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules.golden import CASES, choice

from meshgym.cli.main import main
from meshgym.errors import InvalidValueError
from meshgym.fields import OF_DESTINATION_RULE, RULES
from meshgym.rules.destination_rule import DestinationRule
from meshgym.rules.policy import policy_in_force, traffic_policy, traffic_rules
from meshgym.rules.tongues import read_cluster, read_gateway, write_cluster, write_gateway
from meshgym.rules.yaml_text import read_documents
from meshgym.types import TrafficRules

#: Fields of a plain sidecar: HTTP/1.1, no warmup, which stand in the cluster as other parts.
PLAIN = [
    name
    for name in OF_DESTINATION_RULE
    if not name.startswith(("warmup", "tcp_idle", "h2_", "use_client", "max_concurrent"))
]


def values(name):
    field = RULES[name]
    if field.kind == "seconds":
        whole = name.startswith("tcp_keepalive")  # Envoy has them in whole seconds
        return st.integers(1, 99999).map(float) if whole else st.integers(1, 10**7).map(lambda ms: ms / 1000)
    if field.kind == "choice":
        return st.sampled_from([2, 4, 5])
    if field.kind == "number":
        return st.floats(field.low, field.high)
    return st.integers(int(field.low), int(min(field.high, 2**31 - 1)))


@st.composite
def rules(draw, names):
    chosen = draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    given = {name: draw(values(name)) for name in chosen}
    if given.get("consecutive_local_origin_failures"):
        given["split_external_local_origin_errors"] = 1
    return TrafficRules(**given)


def in_force(policy, names):
    found = traffic_rules(policy, names).to_dict()
    apart = found.get("split_external_local_origin_errors")
    failures = found.pop("consecutive_local_origin_failures", None)  # of no effect unless apart, and 5 then
    return {**found, "local": (failures or 5) if apart else None}


@given(rules=rules([name for name in PLAIN if RULES[name].gateway]))
def test_through_a_backend_traffic_policy_and_back(rules):
    names = [name for name in PLAIN if RULES[name].gateway]
    policy = traffic_policy(rules)
    there = write_gateway(policy, "shop", "market")
    back = read_gateway(json.loads(json.dumps(there.document)))
    assert (there.lost, back.lost) == ((), ())
    assert in_force(back.document, names) == in_force(policy, names)


@given(rules=rules(PLAIN))
def test_through_an_envoy_cluster_and_back(rules):
    policy = traffic_policy(rules)
    there = write_cluster(policy, "shop")
    back = read_cluster(json.loads(json.dumps(there.document)))
    assert (there.lost, back.lost) == ((), ())
    expected, found = (in_force(one, PLAIN) for one in (policy, back.document))
    if "outlierDetection" not in policy:
        assert "outlierDetection" not in back.document
    assert found == expected


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_istiods_clusters_are_read(case):
    chosen, mesh = choice(case), case.get("mesh_config") or {}
    spec, default = case["destination_rule"]["spec"], mesh.get("defaultTrafficPolicy")
    policy = policy_in_force(spec, chosen["subset"], chosen["port"], default)
    balancer = policy.get("loadBalancer", {})
    if chosen["protocol"] != "http1" or chosen["discovery"] != "EDS" or {"consistentHash", "warmup"} & set(balancer):
        return
    found = read_cluster(case["cluster"])
    names = [name for name in PLAIN if not name.startswith("tcp_keepalive") and name != "connect_timeout_s"]
    idle = policy.get("connectionPool", {}).get("tcp", {}).get("idleTimeout")
    names = [name for name in names if not (idle and name == "idle_timeout_s")]
    wanted = in_force(policy, names)
    assert in_force(found.document, names) == wanted


def test_what_has_no_counterpart_is_named():
    policy = {
        "retryBudget": {"percent": 5},
        "tls": {"mode": "SIMPLE"},
        "connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}},
        "loadBalancer": {"simple": "PASSTHROUGH"},
    }
    lost = set(write_gateway(policy, "shop", "market").lost)
    assert lost == {"retryBudget.percent", "tls.mode", "connectionPool.http.h2UpgradePolicy", "loadBalancer.simple"}
    assert write_cluster(policy, "shop").lost == ("tls",)
    spec = {"rateLimit": {"type": "Local"}, "circuitBreaker": {"maxConnections": 5}, "targetRefs": []}
    assert read_gateway({"kind": "BackendTrafficPolicy", "spec": spec}).lost == ("spec.rateLimit.type",)
    cluster = {"name": "a", "outlier_detection": {"success_rate_stdev_factor": 1900}, "health_checks": [{}]}
    assert read_cluster(cluster).lost == ("outlier_detection.success_rate_stdev_factor", "health_checks")


def test_defaults_are_each_tongues_own():
    bare = read_cluster({"name": "a"}).document
    assert traffic_rules(bare).max_connections == 1024
    assert traffic_rules(bare).max_retries == 3
    assert bare["loadBalancer"] == {"simple": "ROUND_ROBIN"}
    gateway = read_gateway({"kind": "BackendTrafficPolicy", "spec": {"healthCheck": {"passive": {}}}}).document
    assert gateway["outlierDetection"]["interval"] == "3s"
    assert write_gateway({}, "shop", "market").document["spec"]["circuitBreaker"]["maxConnections"] == 2**32 - 1


def test_a_duration_that_the_gateway_api_cannot_hold_is_refused():
    policy = {"outlierDetection": {"baseEjectionTime": "100000h"}}
    with pytest.raises(InvalidValueError, match="at most 99999h"):
        write_gateway(policy, "shop", "market")


@pytest.mark.parametrize("document", [{}, {"kind": "Service"}, {"kind": "BackendTrafficPolicy", "spec": []}])
def test_other_documents_are_refused(document):
    with pytest.raises(InvalidValueError):
        read_gateway(document)
    with pytest.raises(InvalidValueError):
        read_cluster(document)


@pytest.mark.parametrize("tongue", ["istio", "gateway", "envoy"])
def test_the_command_translates_from_each_tongue_into_each(tongue, tmp_path, capsys):
    policy = traffic_policy(TrafficRules(max_connections=5, http1_max_pending_requests=2, consecutive_5xx_errors=7))
    rule = DestinationRule.of("shop", "market", "shop", TrafficRules(), policy)
    sources = {
        "istio": rule.to_document(),
        "gateway": write_gateway(policy, "shop", "market").document,
        "envoy": write_cluster(policy, "shop").document,
    }
    for name, document in sources.items():
        (tmp_path / name).write_text(json.dumps(document))
        assert main(["translate", str(tmp_path / name), "--format", tongue, "--name", "shop"]) == 0
        printed, said = capsys.readouterr()
        (made,) = read_documents(printed)
        assert said == ""
        read = {"gateway": read_gateway, "envoy": read_cluster}
        back = read[tongue](made).document if tongue in read else made["spec"]["trafficPolicy"]
        assert in_force(back, PLAIN[:7]) == in_force(policy, PLAIN[:7])


def test_what_gets_lost_is_said(tmp_path, capsys):
    (tmp_path / "cluster.json").write_text('{"name": "a", "outlier_detection": {"success_rate_minimum_hosts": 3}}')
    assert main(["translate", str(tmp_path / "cluster.json"), "--format", "istio"]) == 0
    assert capsys.readouterr().err == "no counterpart: outlier_detection.success_rate_minimum_hosts\n"
    (tmp_path / "other.yaml").write_text("kind: Service")
    assert main(["translate", str(tmp_path / "other.yaml"), "--format", "istio"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "a", "circuit_breakers": 5}',
        '{"name": "a", "circuit_breakers": {"thresholds": [1]}}',
        '{"name": "a", "outlier_detection": {"interval": [1]}}',
        '{"name": "a", "outlier_detection": {"max_ejection_percent": 500}}',
        '{"name": "a", "typed_extension_protocol_options": []}',
        '{"kind": "BackendTrafficPolicy", "spec": {"circuitBreaker": {"maxConnections": {"a": []}}}}',
        '{"kind": "BackendTrafficPolicy", "spec": {"healthCheck": {"passive": {"interval": "soon"}}}}',
        '{"kind": []}',
        "[]",
        "x",
    ],
)
def test_what_has_another_shape_is_one_line(text, tmp_path, capsys):
    (tmp_path / "file").write_text(text)
    assert main(["translate", str(tmp_path / "file"), "--format", "istio"]) in (1, 2)
    assert capsys.readouterr().err.count("\n") == 1


def test_what_envoy_enforces_in_part_is_named():
    cluster = {"name": "a", "outlier_detection": {"consecutive_5xx": 3, "enforcing_consecutive_5xx": 50}}
    assert read_cluster(cluster).lost == ("outlier_detection.enforcing_consecutive_5xx",)
    high = [{"priority": "HIGH", "max_connections": 1}, {"max_connections": 2, "track_remaining": True}]
    found = read_cluster({"name": "a", "circuit_breakers": {"thresholds": high}})
    assert found.document["connectionPool"]["tcp"] == {"maxConnections": 2, "connectTimeout": "5s"}
    assert found.lost == ("circuit_breakers.track_remaining", "thresholds of another priority")

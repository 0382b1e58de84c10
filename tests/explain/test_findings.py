"""Each finding is found where it should be, and the real Envoy shows its effect."""

import json
from dataclasses import replace

import pytest

from meshgym.cli.main import main
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.explain.explanation import explain
from meshgym.explain.findings import FINDINGS
from meshgym.explain.output import FORMATS
from meshgym.explain.prove import prove
from meshgym.rules.destination_rule import read_manifest


def manifest(policy=None, *more, host="shop.market.svc.cluster.local", **spec):
    whole = {"host": host, **({"trafficPolicy": policy} if policy is not None else {}), **spec}
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "shop", "namespace": "market"},
        "spec": whole,
    }
    return read_manifest(json.dumps({"apiVersion": "v1", "kind": "List", "items": [rule, *more]}))


def detection(**fields):
    return {"outlierDetection": {"maxEjectionPercent": 50, "interval": "1s", "baseEjectionTime": "30s", **fields}}


def pool(tcp=None, **http):
    return {"connectionPool": {"tcp": tcp or {"connectTimeout": "5s"}, "http": http}}


RETRIES = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "route"},
    "spec": {"http": [{"route": [{"destination": {"host": "shop"}}], "retries": {"attempts": 3}}]},
}
OTHER = {
    "apiVersion": "networking.istio.io/v1beta1",
    "kind": "DestinationRule",
    "metadata": {"name": "other"},
    "spec": {"host": "shop.market.svc.cluster.local"},
}
SUBSET = {
    "policy": pool({"maxConnections": 16}, http1MaxPendingRequests=1),
    "subsets": [{"name": "v1", "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 1}}}}],
}
PORT = {"port": {"number": 80}, "connectionPool": {"tcp": {"maxConnections": 1}}}

#: For each finding: a rule that has it, one that doesn't, the replicas, and what Envoy shows: ``with`` against
#: ``without`` the field.
CASES = {
    "MG101": ({"policy": detection(maxEjectionPercent=10, consecutive5xxErrors=3)}, {"policy": detection()}, 4,
              lambda a, b: a["ejections"] == 0 < b["ejections"] and a["p503"] > 2 * b["p503"]),
    "MG102": ({"policy": detection(consecutiveGatewayErrors=1, consecutive5xxErrors=2000)}, {"policy": detection()}, 4,
              lambda a, b: a["ejections"] > 0 == b["ejections"]),
    "MG103": ({"policy": detection(consecutiveGatewayErrors=9, consecutive5xxErrors=2)}, {"policy": detection()}, 4,
              lambda a, b: a["ejections"] == b["ejections"] > 0 and abs(a["p503"] - b["p503"]) < 0.01),
    "MG104": ({"policy": detection(minHealthPercent=90, consecutive5xxErrors=1, maxEjectionPercent=100)},
              {"policy": detection()}, 2, lambda a, b: a["qps"] < b["qps"]),
    "MG105": ({"policy": pool(maxRetries=3)}, {"policy": detection()}, 4,
              lambda a, b: a["ejections"] == 0 < b["ejections"]),
    "MG106": ({"policy": {"outlierDetection": {}}}, {"policy": detection()}, 10,
              lambda a, b: a["ejections"] > 0 == b["ejections"]),
    "MG107": ({"policy": detection(consecutive5xxErrors=0)}, {"policy": detection()}, 4,
              lambda a, b: a["ejections"] == 0 < b["ejections"]),
    "MG108": ({"policy": detection(interval="30s", baseEjectionTime="50ms", consecutive5xxErrors=1)},
              {"policy": detection()}, 4, lambda a, b: a["ejections"] < b["ejections"]),
    "MG109": ({"policy": detection(maxEjectionPercent=100, consecutive5xxErrors=1)}, {"policy": detection()}, 2,
              lambda a, b: a["ejections"] == 2 > b["ejections"]),
    "MG201": ({"policy": pool(http2MaxRequests=2)}, {"policy": pool(http1MaxPendingRequests=9)}, 4,
              lambda a, b: a["p503"] > 0.3 > b["p503"]),
    "MG202": ({"policy": pool({"maxConnections": 1})},
              {"policy": pool({"maxConnections": 1}, http1MaxPendingRequests=1)}, 4,
              lambda a, b: a["p503"] < 0.3 < b["p503"]),
    "MG203": ({"policy": pool({"maxConnections": 16}, http1MaxPendingRequests=1)},
              {"policy": pool({"maxConnections": 16}, http1MaxPendingRequests=16)}, 4,
              lambda a, b: a["p503"] > b["p503"]),
    "MG204": ({"policy": pool(maxRequestsPerConnection=1)}, {"policy": pool(maxRequestsPerConnection=9)}, 4,
              lambda a, b: a["qps"] < b["qps"]),
    "MG205": ({"policy": pool({"maxConnections": 0}, http1MaxPendingRequests=0)},
              {"policy": pool({"maxConnections": 1})}, 4,
              lambda a, b: a["p503"] < 0.3 < b["p503"]),
    "MG206": ({"policy": pool({"maxConnections": 1}, h2UpgradePolicy="UPGRADE", http1MaxPendingRequests=16)},
              {"policy": pool({"maxConnections": 1})}, 4, lambda a, b: a["qps"] > 2 * b["qps"]),
    "MG301": (SUBSET, {"policy": SUBSET["policy"]}, 4, lambda a, b: a["p503"] < b["p503"]),
    "MG302": ({"policy": {"portLevelSettings": [{**PORT, "retryBudget": {"percent": 5}}]}},
              {"policy": {"portLevelSettings": [PORT]}}, 4, None),
    "MG303": ({"host": "*.market.svc"}, {}, 4, None),
    "MG304": ({"host": "shop"}, {}, 4, None),
    "MG305": ({"more": OTHER}, {}, 4, None),
    "MG306": ({"more": RETRIES}, {"more": RETRIES, "policy": pool(maxRetries=3)}, 4, None),
    "MG307": ({"policy": pool(http2MaxRequests=5)}, {"policy": detection()}, 4, None),
    "MG308": ({"policy": {"tls": {"mode": "DISABLE"}}}, {"policy": detection()}, 4, None),
    "MG309": ({"policy": detection(maxEjectionPercent=100, consecutive5xxErrors=1)},
              {"policy": detection(maxEjectionPercent=50)}, 1, lambda a, b: a["ejections"] == 1 > b["ejections"]),
    "MG310": ({"gateway": {"rateLimit": {"type": "Local"}}}, {}, 4, None),
}  # fmt: skip


def explained(case, replicas=4):
    """The explanation of a case's rule: that of its subset or port, if it has one."""
    given = dict(case)
    if "gateway" in given:
        return explain(replace(manifest(), lost=("spec.rateLimit.type",)), replicas=replicas)
    more = [given.pop("more")] if "more" in given else []
    return explain(manifest(given.pop("policy", None), *more, **given), replicas=replicas)


def codes(explanations):
    return {finding.code for one in explanations for finding in one.findings}


def test_every_finding_has_a_case():
    assert list(CASES) == list(FINDINGS)
    assert {code for code, case in CASES.items() if case[3]} == {c for c, row in FINDINGS.items() if row.instead}


@pytest.mark.parametrize("code", FINDINGS)
def test_it_is_found_where_it_is_and_nowhere_else(code):
    has, lacks, replicas, _ = CASES[code]
    assert code in codes(explained(has, replicas))
    assert code not in codes(explained(lacks, replicas))


@pytest.mark.slow
@pytest.mark.envoy
@pytest.mark.parametrize("code", [code for code, row in FINDINGS.items() if row.instead])
def test_the_real_envoy_shows_it(code):
    has, _, replicas, shows = CASES[code]
    *_, explanation = explained(has, replicas)
    proof = prove(explanation).proofs[code]
    assert shows(proof.with_field, proof.without_field), proof.in_words()


def test_what_a_rule_does_is_said_in_sentences():
    (explanation,) = explained({"policy": {**detection(consecutive5xxErrors=7), **pool({"maxConnections": 5})}})
    assert explanation.does == (
        "At most 5 connections are open to the service.",
        "A replica that answers 7 5xx in a row is ejected for 30 s, the second time for twice as long, and so on; it "
        "comes back at a sweep, every 1 s.",
        "At most 2 of 4 replicas (50 %) are ejected at once.",
    )
    (explanation,) = explained({})
    assert explanation.does == ("Nothing limits connections or requests.", "No replica is ever ejected.")


@pytest.mark.parametrize(
    "spec", [None, [], {"http": 5}, {"http": [1, {"retries": {}, "route": [2, {"destination": []}]}]}]
)
def test_another_object_of_any_shape_is_passed_over(spec):
    explain(manifest(None, {"kind": "VirtualService", "metadata": [], "spec": spec}))


def test_all_policies_of_a_file_are_explained_or_the_one_that_is_chosen():
    policy = {"portLevelSettings": [PORT]}
    whole = manifest(policy, OTHER, subsets=[{"name": "v1", "trafficPolicy": detection()}, {"name": "v2"}])
    assert len(explain(whole)) == 4
    with pytest.raises(InvalidValueError, match="Choose one with --host"):
        explain(whole, port=80)
    with pytest.raises(UnknownNameError, match="subset"):
        explain(manifest(policy), subset="v3")
    (one,) = explain(manifest(policy), port=80)
    assert one.situation.policy == {"connectionPool": PORT["connectionPool"]}


@pytest.mark.parametrize("form", FORMATS)
def test_the_formats_name_every_finding(form):
    explanations = explained(CASES["MG101"][0])
    text = FORMATS[form]({"shop.yaml": explanations})
    for finding in explanations[0].findings:
        assert finding.code in text
        assert finding.reason in text
    if form != "text":
        json.loads(text)
    if form == "sarif":
        (run,) = json.loads(text)["runs"]
        assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(FINDINGS)
        assert {result["level"] for result in run["results"]} <= {"note", "warning", "error"}


def test_a_policy_of_envoy_gateway_is_explained_too(tmp_path, capsys):
    spec = {"circuitBreaker": {"maxConnections": 5}, "rateLimit": {"type": "Local"}}
    document = {"kind": "BackendTrafficPolicy", "metadata": {"name": "shop"}, "spec": spec}
    (tmp_path / "policy.yaml").write_text(json.dumps(document))
    assert main(["explain", str(tmp_path / "policy.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "At most 5 connections are open to the service." in printed
    assert "MG310" in printed
    assert "spec.rateLimit.type" in printed


def test_the_meshs_default_holds_for_what_a_rule_leaves_out(tmp_path, capsys):
    (tmp_path / "rule.yaml").write_text(
        json.dumps({**OTHER, "spec": {"host": "a.b", "trafficPolicy": pool(maxRetries=3)}})
    )
    (tmp_path / "mesh.yaml").write_text(json.dumps({"meshConfig": {"defaultTrafficPolicy": detection()}}))
    command = ["explain", str(tmp_path / "rule.yaml"), "--mesh-config", str(tmp_path / "mesh.yaml")]
    assert main(command) == 0
    assert "A replica that answers 5 5xx in a row is ejected" in capsys.readouterr().out
    assert main([*command, "--istio", "1.30"]) == 2
    assert "it is there since 1.31" in capsys.readouterr().err
    (tmp_path / "mesh.yaml").write_text("enableTracing: true")
    assert main(command) == 2
    assert "defaultTrafficPolicy among them" in capsys.readouterr().err


def test_the_command_ends_with_1_from_a_chosen_severity(tmp_path, capsys):
    file = tmp_path / "rule.yaml"
    file.write_text(json.dumps({**OTHER, "spec": {"host": "a.b", "trafficPolicy": detection(maxEjectionPercent=10)}}))
    assert main(["explain", str(file)]) == 1
    printed, said = capsys.readouterr()
    assert "error MG101 no replica can be ejected" in printed
    assert said == "meshgym: error: 1 findings of severity error or above: MG101\n"
    assert main(["explain", str(file), "--replicas", "10"]) == 0
    assert main(["explain", str(file), "--fail-on", "never"]) == 0
    assert main(["explain", str(file), "--replicas", "10", "--fail-on", "info"]) == 0
    assert main(["explain", str(tmp_path / "none.yaml")]) == 1

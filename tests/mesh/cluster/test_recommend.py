"""What is recommended for a cluster is that cluster's rule with the rules merged in; nothing else changes."""

from __future__ import annotations

import json
import re
import shlex
from copy import deepcopy

import pytest
import yaml
from mesh.cluster.standins.kubernetes import _merge_patch

from meshagents.cli.main import main
from meshgym.fields import RULES
from meshgym.rules.policy import find, paths
from meshgym.types import RULE_NAMES

SPEC = {
    "host": "httpbin.default.svc.cluster.local",
    "subsets": [{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}],
    "trafficPolicy": {
        "loadBalancer": {"simple": "RANDOM"},
        "tls": {"mode": "ISTIO_MUTUAL"},
        "connectionPool": {"tcp": {"maxConnections": 77, "connectTimeout": "3s"}},
        "portLevelSettings": [{"port": {"number": 9000}, "connectionPool": {"tcp": {"maxConnections": 5}}}],
    },
}
SEVEN = {RULES[name].destination_rule for name in RULE_NAMES}


@pytest.fixture
def recommended(make_world, tmp_path):
    """A world with a rule that says much, and what is recommended for it."""
    world = make_world(SPEC)
    out = tmp_path / "found"
    command = ["recommend", "S1", "--load", "threads=2,calls=440", "--quiet", f"--out={out}", *world.options()]

    def recommend(*more):
        return main([*command, *more])

    return world, out, recommend


def test_what_is_written_changes_the_seven_fields_and_nothing_else(recommended, capsys):
    world, out, recommend = recommended
    assert recommend("--measure", "--repeats", "1") == 0, capsys.readouterr().err
    assert world.restored
    measured = world.sent[-1][0]
    document = yaml.safe_load((out / "destination-rule.yaml").read_text())
    assert document["metadata"] == {"name": "httpbin", "namespace": "default"}
    before, after = deepcopy(SPEC["trafficPolicy"]), document["spec"].pop("trafficPolicy")
    assert document["spec"] == {key: value for key, value in SPEC.items() if key != "trafficPolicy"}
    changed = {path for path in {*paths(before), *paths(after)} if find(before, path) != find(after, path)}
    assert changed == SEVEN
    assert {path: find(measured, path) for path in SEVEN} == {path: find(after, path) for path in SEVEN}

    text = (out / "recommendation.md").read_text()
    (line,) = (line for line in text.splitlines() if "kubectl patch" in line)
    command = shlex.split(line)
    assert command[:8] == ["kubectl", "patch", "destinationrule", "httpbin", "-n", "default", "--type", "merge"]
    patched = _merge_patch(world.rule, json.loads(command[-1]))
    assert patched["spec"] == {**document["spec"], "trafficPolicy": after}
    assert re.search(r"^    - +maxConnections: 77$", text, re.MULTILINE)
    assert not re.search(r"^    [-+] +mode: ISTIO_MUTUAL", text, re.MULTILINE)
    assert "http://httpbin:8000/get" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--name", "reviews"], "--name is 'reviews'; allowed: httpbin, as in the cluster"),
        (["--namespace", "market"], "--namespace is 'market'; allowed: default, as in the cluster"),
        (["--host", "reviews"], "--host is 'reviews'; allowed: httpbin.default.svc.cluster.local, as in the cluster"),
        (["--url", "http://reviews:8000/"], "--url is 'http://reviews:8000/'; allowed: http://httpbin:8000/get"),
    ],
)
def test_it_never_leads_to_another_service(recommended, capsys, more, message):
    _, out, recommend = recommended
    assert recommend(*more) == 2
    assert message in capsys.readouterr().err
    assert not (out / "destination-rule.yaml").exists()


def test_a_rule_on_loan_is_not_what_it_usually_is(recommended, capsys):
    world, _, recommend = recommended
    world.api.put("default", "httpbin", SPEC, annotations={"meshgym/loan": "{}"})
    assert recommend() == 1
    assert "the annotation meshgym/loan can't be read" in capsys.readouterr().err

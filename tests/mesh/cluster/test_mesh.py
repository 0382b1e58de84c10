"""A cluster as a mesh, against stand-ins that speak the wire formats of Kubernetes, Envoy's admin port and Fortio."""

from __future__ import annotations

import gc
import json
import re
import threading
from itertools import repeat
from pathlib import Path

import pytest
from mesh.cluster.standins.kubernetes import TOKEN
from mesh.cluster.standins.world import RULE

import meshgym
from meshgym.errors import (
    AwayError,
    DisturbedError,
    DryRun,
    InvalidValueError,
    LimitError,
    MeshError,
    RestoreError,
    RulesRefusedError,
)
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.rules.policy import traffic_policy, traffic_rules
from meshgym.testing import FakeMesh, check_mesh
from meshgym.traces.collect import collect
from meshgym.traces.collection import read_collection
from meshgym.traces.pack import pack
from meshgym.traces.store import load_traces, read_provenance
from meshgym.types import RULE_NAMES, Load, TrafficRules

RULES = TrafficRules(2, 1, 4, 180, 50, 0.25, 6)
LOAD = Load(5, 40)


def journals(folder):
    return list((folder / "state" / "meshgym").glob("*.json"))


def test_keeps_the_contract_of_a_mesh(world, shop):
    check_mesh(lambda: IstioMesh(**world.arguments()), shop)
    assert world.restored


def test_a_run_is_what_fortio_measured_under_the_rules(world):
    with IstioMesh(**world.arguments()) as mesh:
        response = mesh.measure(RULES, LOAD)
    expected = FakeMesh().measure(RULES, LOAD)
    assert (response.qps, response.p200, response.p503) == (expected.qps, expected.p200, expected.p503)
    assert 0 < response.p503 < 1
    assert response.details["latency_p50_s"] == pytest.approx(0.0075)  # of the 200s, which are the slow ones
    assert response.details["latency_p90_s"] == pytest.approx(0.0095)
    assert "latency_p99_s" not in response.details  # of fewer than 100
    assert response.details["duration_s"] == pytest.approx(LOAD.calls / response.qps)
    assert response.details["other_error"] == 0
    assert response.details["overhead_s"] >= world.lag_s


def test_load_is_sent_only_when_the_sidecar_holds_the_rules(world):
    world.lag_s = 0.3
    other = RULES.replace(max_connections=3)
    with IstioMesh(**world.arguments()) as mesh:
        for rules in (RULES, other, RULES):
            mesh.measure(rules, LOAD)
    assert [traffic_rules(policy, RULE_NAMES) for policy, _ in world.sent] == [RULES, other, RULES]
    assert [load for _, load in world.sent] == [LOAD] * 3


def test_equal_rules_make_a_new_configuration_each_run(world):
    """Envoy takes equal content for no change, and ejections and connections of the run before would stay."""
    with IstioMesh(**world.arguments()) as mesh:
        for _ in range(3):
            mesh.measure(RULES, LOAD)
    timeouts = [policy["connectionPool"]["tcp"]["connectTimeout"] for policy, _ in world.sent]
    assert timeouts == ["10.001s", "10.002s", "10.003s"]


def test_what_is_not_measured_stays_and_all_is_put_back(world):
    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        now = world.rule
        assert now["spec"]["subsets"] == RULE["subsets"]
        assert now["spec"]["trafficPolicy"]["loadBalancer"] == {"simple": "RANDOM"}
        assert now["spec"]["trafficPolicy"]["connectionPool"]["http"]["http2MaxRequests"] == 99
        assert now["spec"]["trafficPolicy"]["outlierDetection"] == traffic_policy(RULES)["outlierDetection"]
        assert not world.restored
    assert world.restored


def test_nothing_is_written_before_the_first_run(world, tmp_path):
    with IstioMesh(**world.arguments()):
        assert not journals(tmp_path)
    assert {method for method, *_ in world.api.asked} == {"GET"}


def test_a_rule_that_is_missing_is_made_only_if_asked_and_deleted_at_the_end(make_world):
    world = make_world(None)
    with pytest.raises(
        InvalidValueError, match=r"default/httpbin .* is None; allowed: a DestinationRule that exists.*--new-rule-for"
    ):
        IstioMesh(**world.arguments())
    with IstioMesh(**world.arguments(host="httpbin")) as mesh:
        assert world.rule is None
        mesh.measure(RULES, LOAD)
        assert world.rule["spec"]["host"] == "httpbin"
        mesh.measure(RULES, LOAD)
    assert world.rule is None
    assert len(world.sent) == 2


def test_a_host_that_is_not_the_rules_is_refused(world):
    with pytest.raises(InvalidValueError, match=r"host is 'reviews'; allowed: that of .*: httpbin"):
        IstioMesh(**world.arguments(host="reviews"))


@pytest.mark.parametrize(
    "override",
    [
        {"trafficPolicy": {"portLevelSettings": [{"port": {"number": 8000}}]}},
        {"subsets": [{"name": "v1", "trafficPolicy": {"portLevelSettings": [{"port": {"number": 8000}}]}}]},
        {"subsets": [{"name": "v1", "trafficPolicy": {"outlierDetection": {}}}]},
    ],
)
def test_limits_that_override_the_measured_ones_are_refused(make_world, override):
    world = make_world({"host": "httpbin", **override})
    with pytest.raises(InvalidValueError, match="no limits of the port or of subsets"):
        IstioMesh(**world.arguments())


def test_the_target_is_a_port_that_the_sidecar_knows(world):
    mesh = IstioMesh(**world.arguments(target_url="http://httpbin/get"))
    with (
        mesh,
        pytest.raises(InvalidValueError, match=r"port of the target's URL is 80; allowed: a port of httpbin: 8000"),
    ):
        mesh.measure(RULES, LOAD)


def test_a_subsets_other_policies_are_no_hindrance(make_world):
    subsets = [{"name": "v1", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}]
    world = make_world({"host": "httpbin.default.svc.cluster.local", "subsets": subsets})
    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
    assert world.restored


@pytest.mark.parametrize("name", ["namespace", "destination_rule"])
def test_without_an_explicit_name_nothing_is_touched(world, name):
    with pytest.raises(InvalidValueError, match=f"{name} is ''"):
        IstioMesh(**world.arguments(**{name: ""}))
    assert not world.api.asked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fortio_url": "localhost:8080"}, "fortio_url is 'localhost:8080'; allowed: a URL http or https"),
        ({"fortio_url": "https://me:secret@fortio/"}, "allowed: a URL without user and password"),
        ({"target_url": "httpbin"}, "target_url is 'httpbin'"),
        ({"sidecar": "https://localhost:15000"}, "NAMESPACE/POD"),
        ({"max_qps": 0}, "max_qps is 0"),
    ],
)
def test_arguments_that_will_not_do(world, arguments, message):
    with pytest.raises(InvalidValueError, match=message) as caught:
        IstioMesh(**world.arguments(**arguments))
    assert "secret" not in str(caught.value)


def test_limits(world):
    with IstioMesh(**world.arguments(max_calls_per_step=50, max_calls=100)) as mesh:
        with pytest.raises(InvalidValueError, match="calls is 60; allowed: at most max_calls_per_step=50"):
            mesh.measure(RULES, Load(2, 60))
        mesh.measure(RULES, Load(2, 50))
        mesh.measure(RULES, LOAD)
        with pytest.raises(InvalidValueError, match="at most max_calls=100 in all, of which 90 are sent"):
            mesh.measure(RULES, Load(2, 20))
    assert sum(load.calls for _, load in world.sent) == 90


def test_limits_are_low_until_they_are_raised(world):
    with IstioMesh(**world.arguments()) as mesh:
        with pytest.raises(InvalidValueError, match="at most max_calls_per_step=10000"):
            mesh.measure(RULES, Load(2, 10_001))
        with pytest.raises(InvalidValueError, match="rate_per_s is 2000; allowed: at most 1000, unless max_qps says"):
            mesh.measure(RULES, Load(rate_per_s=2000, duration_s=1))
        world.fortio.codes = {"200": 0.4, "503": 0.6}
        assert mesh.measure(RULES, LOAD).p503 == 0.6
        with pytest.raises(LimitError, match=r"60% of 503s, and max_p503 allows 50%; nothing more is sent. Raise"):
            mesh.measure(RULES, LOAD)


def test_after_too_many_503s_nothing_more_is_sent(world, shop, tmp_path):
    world.lag_s = 0
    mesh = IstioMesh(**world.arguments(max_p503=0.3))
    with mesh, pytest.raises(LimitError, match=r"a run had \d+% of 503s, and max_p503 allows 30%"):
        collect(shop, tmp_path, rows=30, mesh=mesh)
    frame = load_traces(tmp_path / "collection.db")
    assert (frame["p503"] > 0.3).tolist() == [False] * (len(frame) - 1) + [True]
    assert world.restored
    with pytest.raises(InvalidValueError, match="max_p503 is nan"):
        IstioMesh(**world.arguments(max_p503=float("nan")))


def test_after_a_run_with_503s_the_service_must_recover_first(world):
    world.lag_s = 0
    with IstioMesh(**world.arguments(probe=True, wait_s=30)) as mesh:
        mesh.measure(RULES, LOAD)
        world.sick = 2
        mesh.measure(RULES, LOAD)
    policies, loads = zip(*world.sent, strict=True)
    assert loads == (LOAD, *[Load(1, 10)] * 3, LOAD)
    found = RULE["trafficPolicy"]["connectionPool"]
    assert [policy["connectionPool"]["http"] for policy in policies[1:4]] == [found["http"]] * 3
    assert world.restored


def test_a_service_that_does_not_recover_gets_nothing_more(world, shop, tmp_path):
    world.lag_s = 0
    with IstioMesh(**world.arguments(probe=True, wait_s=0)) as mesh:
        assert mesh.measure(RULES, LOAD).p503
        world.sick = 99
        with pytest.raises(AwayError, match=r"503s, httpbin hasn't recovered: 0% of 10 single calls returned 200"):
            mesh.measure(RULES, LOAD)
    assert [load for _, load in world.sent] == [LOAD, Load(1, 10)]
    assert world.restored


def test_only_namespaces_that_are_listed_are_touched(world):
    with pytest.raises(InvalidValueError, match="namespace is 'default'; allowed: one of staging, test"):
        IstioMesh(**world.arguments(namespaces=["staging", "test"]))
    assert not world.api.asked
    with IstioMesh(**world.arguments(namespaces=["staging", "default"])) as mesh:
        mesh.measure(RULES, LOAD)


def test_a_cap_on_the_rate(world):
    with IstioMesh(**world.arguments(max_qps=20)) as mesh:
        assert mesh.measure(RULES, LOAD).qps == 20
    (body,) = [body for method, path, body in world.fortio.asked if path.endswith("run")]
    assert body["qps"] == "20"


def test_a_dry_run_tells_what_would_be_sent_and_sends_nothing(world, tmp_path):
    with IstioMesh(**world.arguments(dry_run=True)) as mesh, pytest.raises(DryRun) as told:
        mesh.measure(RULES, LOAD)
    text = str(told.value)
    path = "/apis/networking.istio.io/v1/namespaces/default/destinationrules/httpbin"
    assert f"PATCH (merge) {world.api.url}{path}\n" in text
    assert f"POST {world.fortio.url}/fortio/rest/run\n" in text
    patch, request = (json.loads(body) for body in re.findall(r"^\{.*?^\}", text, re.MULTILINE | re.DOTALL))
    assert patch["spec"]["trafficPolicy"]["outlierDetection"] == traffic_policy(RULES)["outlierDetection"]
    assert (request["c"], request["n"], request["qps"]) == ("5", "40", "-1")
    assert {method for method, *_ in world.api.asked} == {"GET"}
    assert not world.fortio.asked
    assert not journals(tmp_path)


@pytest.mark.parametrize("hangs_up", [False, True])
def test_through_a_port_forward(world, hangs_up):
    world.api.hangs_up = hangs_up
    with IstioMesh(**world.arguments(sidecar="default/fortio-deploy-abc")) as mesh:
        mesh.measure(RULES, LOAD)
    assert ("UPGRADE", "/api/v1/namespaces/default/pods/fortio-deploy-abc/portforward", None) in world.api.asked
    assert not world.fortio.fault("GET", "/")
    assert world.restored
    for thread in threading.enumerate():
        if "port forward" in thread.name:
            thread.join(5)
    gc.collect()  # a socket that was left open is a warning now


def test_rules_the_sidecar_does_not_take(world):
    world.deaf = True
    with IstioMesh(**world.arguments()) as mesh, pytest.raises(RulesRefusedError) as caught:
        mesh.measure(RULES, LOAD)
    assert "hasn't taken the rules after 1 s" in str(caught.value)
    assert "max_connections is 4294967295, not 1" in str(caught.value)
    assert not world.sent
    assert world.restored


def test_a_sidecar_of_another_service(make_world):
    world = make_world({"host": "ratings"})
    said = "host is 'ratings'; allowed: a service that the sidecar knows"
    with IstioMesh(**world.arguments()) as mesh, pytest.raises(InvalidValueError, match=said):
        mesh.measure(RULES, LOAD)
    assert world.restored


def test_in_an_environment(world, shop):
    mesh = IstioMesh(**world.arguments())
    with mesh, meshgym.LiveIstioEnv(shop, control="both", mesh=mesh) as env:
        env.reset(seed=0)
        _, reward, *_, info = env.step([2, 3])
    assert reward == pytest.approx(info["qps"] * info["p503"])
    assert world.restored


def test_a_collection_has_empty_cells_for_what_fortio_cannot_know(world, shop, tmp_path):
    world.lag_s = 0
    with IstioMesh(**world.arguments()) as mesh:
        path = collect(shop, tmp_path / "rows", rows=30, mesh=mesh)
        with pytest.raises(InvalidValueError, match=r"lanes is 2.*There is one mesh"):
            collect(shop, tmp_path / "rows", rows=30, lanes=2, mesh=mesh)
    frame = load_traces(path)
    assert sorted(frame["run"]) == list(range(30))
    assert "latency_p50_s" in frame
    assert "ejections" not in frame
    about, _ = read_collection(path)
    assert about["service"]["destination_rule"] == "httpbin"
    assert about["service"]["found"] == RULE
    assert about["service"]["workers"] == 2
    assert about["versions"]["envoy"] == "1.40.0"
    assert about["versions"]["istio"] == "1.31.0"
    assert world.restored
    provenance = read_provenance(pack(path.parent, tmp_path / "set.parquet"))
    assert provenance["taken"].endswith("docs/how-to/cluster.md")


def test_no_token_is_left_anywhere(world, tmp_path, shop, capfd):
    world.api.denied.add(("patch", "destinationrules"))
    with IstioMesh(**world.arguments()) as mesh, pytest.raises(MeshError) as caught:
        collect(shop, tmp_path / "rows", rows=6, mesh=mesh)
    world.kubeconfig.unlink()
    written = [path.read_text(errors="replace") for path in Path(tmp_path).rglob("*") if path.is_file()]
    assert not any(TOKEN in text for text in [str(caught.value), *capfd.readouterr(), *written])


def test_a_closed_mesh_refuses(world):
    mesh = IstioMesh(**world.arguments())
    mesh.close()
    mesh.close()
    with pytest.raises(MeshError, match="closed"):
        mesh.measure(RULES, LOAD)


def test_two_at_once_on_one_rule_are_refused(world):
    with IstioMesh(**world.arguments()), pytest.raises(RestoreError, match="another process is measuring"):
        IstioMesh(**world.arguments(kube_context="other"))
    with IstioMesh(**world.arguments()):
        pass


def test_requests_of_others_in_a_run_disturb_it(world):
    with IstioMesh(**world.arguments()) as mesh:
        assert mesh.situation
        world.admin.requests = repeat(61)
        with pytest.raises(DisturbedError, match="sent 61 requests to the service, and the load had 20 calls"):
            mesh.measure(TrafficRules(max_connections=3), Load(2, 20))
    with IstioMesh(**world.arguments(accept=["traffic"])) as mesh:
        assert mesh.measure(TrafficRules(max_connections=3), Load(2, 20)).qps > 0


def test_a_sidecar_of_another_revision_is_told_so(world):
    world.admin.labels = {"istio.io/rev": "canary"}
    world.deaf = True
    with (
        IstioMesh(**world.arguments()) as mesh,
        pytest.raises(RulesRefusedError, match="istiod of its revision canary"),
    ):
        mesh.measure(TrafficRules(max_connections=3), Load(2, 20))

"""Whatever responds, and whatever it says, the error is typed, one bounded line, and the rule comes back."""

from __future__ import annotations

import pytest
from mesh.cluster.standins.server import Fault

from meshgym.cli.main import main
from meshgym.errors import AwayError, InvalidValueError, MeshError, MeshGymError
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.types import Load, TrafficRules

RULES = TrafficRules(2, 1, 4, 180, 50, 0.25, 6)
LOAD = Load(5, 40)
LONG = "\x1b[31mred\x1b[0m\n" * 400_000

#: Bodies that are JSON, but not what was asked for.
SHAPES = [[], [[]], {}, None, 5, "text", "", True, {"kind": 5}, [None], {"a": {"b": [1]}}, {"message": ["no"]}, LONG]


def rule(**changes):
    """A DestinationRule with parts of another shape."""
    metadata = {"name": "httpbin", "namespace": "default", "resourceVersion": "101"}
    whole = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata}
    return {**whole, "spec": {"host": "httpbin"}, **changes}


def metadata(**changes):
    return rule(metadata={**rule()["metadata"], **changes})


OBJECTS = [
    rule(kind="VirtualService"),
    rule(spec=None),
    rule(spec=[]),
    rule(spec={}),
    rule(spec={"host": 5}),
    rule(spec={"host": "httpbin", "trafficPolicy": []}),
    rule(spec={"host": "httpbin", "trafficPolicy": {"connectionPool": "wide"}}),
    rule(spec={"host": "httpbin", "trafficPolicy": {"connectionPool": {"tcp": []}}}),
    rule(spec={"host": "httpbin", "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": {}}}}}),
    rule(spec={"host": "httpbin", "trafficPolicy": {"outlierDetection": 7}}),
    rule(spec={"host": "httpbin", "trafficPolicy": {"outlierDetection": {"interval": 7}}}),
    rule(spec={"host": "httpbin", "trafficPolicy": {"loadBalancer": {"simple": "BEST"}}}),
    rule(spec={"host": "httpbin", "subsets": {}}),
    rule(spec={"host": "httpbin", "subsets": ["v1"]}),
    rule(metadata=None),
    rule(metadata={}),
    metadata(name="reviews"),
    metadata(namespace="kube-system"),
    metadata(resourceVersion=None),
    metadata(generation="three"),
    metadata(annotations=["meshgym/loan"]),
    metadata(annotations={"meshgym/loan": "{}"}),
    metadata(managedFields={}),
    metadata(managedFields=["me"]),
]


def clusters(**changes):
    name = "outbound|8000||httpbin.default.svc.cluster.local"
    return {"configs": [{"cluster": {"name": name, **changes}}]}


DUMPS = [
    {"configs": {}},
    {"configs": [{"cluster": None}]},
    {"configs": [{"cluster": {"name": 5}}]},
    {"configs": [{}]},
    clusters(circuit_breakers=[]),
    clusters(circuit_breakers={"thresholds": {}}),
    clusters(circuit_breakers={"thresholds": [5]}),
    clusters(outlier_detection="on"),
    clusters(outlier_detection={"interval": "soon s"}),
    clusters(common_lb_config=1),
    clusters(typed_extension_protocol_options=[]),
    clusters(metadata=[]),
    clusters(connect_timeout={"s": 1}),
]


def check(error):
    """One line, of bounded length, that one can print."""
    text = str(error)
    assert len(text) < 2000
    assert text.isprintable()


def tried(world, fault, standin):
    """Measure with a fault, then give back; return the error if there was one."""
    standin.faults.append(fault)
    caught = None
    mesh = None
    try:
        mesh = IstioMesh(**world.arguments(wait_s=0))
        mesh.measure(RULES, LOAD)
    except MeshGymError as error:
        caught = error
        check(error)
    finally:
        standin.faults.clear()
        if mesh:
            mesh.close()
    assert world.restored
    return caught


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 400, 404, 409, 418, 500])
@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("body", SHAPES, ids=lambda body: str(body)[:20])
def test_shapes_of_the_api_server(world, status, method, body):
    assert tried(world, Fault(method, "httpbin", status, body, times=9), world.api)


@pytest.mark.parametrize("body", OBJECTS, ids=lambda body: str(body.get("spec"))[:60] + str(body["metadata"])[-40:])
def test_objects_of_another_shape(world, body):
    assert tried(world, Fault("GET", "httpbin", 200, body, times=99), world.api)


@pytest.mark.parametrize("body", OBJECTS, ids=lambda body: str(body.get("spec"))[:60] + str(body["metadata"])[-40:])
def test_objects_of_another_shape_while_giving_back(world, body, tmp_path):
    mesh = IstioMesh(**world.arguments(wait_s=0))
    mesh.measure(RULES, LOAD)
    world.api.faults.append(Fault("PUT", "httpbin", 200, body, times=99))
    with pytest.raises(MeshGymError, match=r"not given back: .*meshgym doctor --restore default/httpbin") as caught:
        mesh.close()
    check(caught.value)
    world.api.faults.clear()
    mesh.close()
    assert world.restored


@pytest.mark.parametrize("body", [*SHAPES, *DUMPS], ids=lambda body: str(body)[:60])
def test_shapes_of_the_sidecar(world, body):
    assert tried(world, Fault("GET", "config_dump", 200, body, times=9), world.admin)


@pytest.mark.parametrize("body", [*SHAPES, {"version": "1.40.0"}, {"version": 5}, {"version": "a/b/c", "node": []}])
def test_shapes_of_the_sidecars_version(world, body):
    assert tried(world, Fault("GET", "server_info", 200, body, times=9), world.admin)


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 302, 400, 503])
@pytest.mark.parametrize(
    "body", [*SHAPES, {"error": True, "message": {}}, {"RetCodes": {}}], ids=lambda body: str(body)[:20]
)
def test_shapes_of_fortio(world, status, body):
    assert tried(world, Fault("POST", "run", status, body, times=9), world.fortio)


@pytest.mark.parametrize("body", [*SHAPES, {"Statuses": []}, {"Statuses": {"1": 5}}], ids=lambda body: str(body)[:20])
def test_shapes_of_fortios_status(world, body):
    error = tried(world, Fault("GET", "status", 200, body, times=9), world.fortio)
    assert isinstance(error, MeshError) or body in ({}, {"message": ["no"]}, {"kind": 5}, {"a": {"b": [1]}})


@pytest.mark.parametrize("body", SHAPES, ids=lambda body: str(body)[:20])
def test_shapes_for_the_doctor(world, body, capsys):
    for standin in (world.api, world.admin, world.fortio):
        standin.faults.append(Fault("", "", 200, body, times=99))
        assert main(["doctor", *world.options()]) == 1
        standin.faults.clear()
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert all(len(line) < 2000 and line.isprintable() for line in said.splitlines())


def test_null_is_the_same_as_left_out(make_world):
    world = make_world({"host": "httpbin", "trafficPolicy": {"connectionPool": None, "outlierDetection": None}})
    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
    assert world.restored


def test_another_destination_rule_in_force_is_named(world):
    world.winner = "older", {"connectionPool": {"tcp": {"maxConnections": 3}}}
    with IstioMesh(**world.arguments()) as mesh, pytest.raises(InvalidValueError) as caught:
        mesh.measure(RULES, LOAD)
    said = str(caught.value)
    assert "is 'those of default/older'; allowed: those of default/httpbin" in said
    assert "max_connections is 3, not 77" in said
    assert "an older one for the same host" in said
    assert not world.sent
    assert world.restored


def test_http2_is_refused_unless_it_is_accepted(world, shop):
    world.http2 = True
    accept = ["http2_max_requests", "load_balancer"]
    said = r"'http2': \"the port's protocol, .*--accept http2\."
    with (
        IstioMesh(**world.arguments(scenario=shop, accept=accept)) as mesh,
        pytest.raises(InvalidValueError, match=said),
    ):
        mesh.measure(RULES, LOAD)
    with IstioMesh(**world.arguments(scenario=shop, accept=[*accept, "http2"])) as mesh:
        mesh.measure(RULES, LOAD)
        assert mesh.about()["protocol"] == "http2"
    assert world.restored


def test_a_mesh_wide_policy_is_known_by_its_file(make_world, tmp_path, shop):
    default = {"outlierDetection": {"consecutiveGatewayErrors": 1}}
    world = make_world({"host": "httpbin"})
    world.mesh_default = default
    file = tmp_path / "mesh.yaml"
    file.write_text("defaultTrafficPolicy: {outlierDetection: {consecutiveGatewayErrors: 1}}")
    with IstioMesh(**world.arguments(mesh_config=file)) as mesh:
        assert mesh.situation.rules.to_dict() == {"consecutive_gateway_errors": 1}
        mesh.measure(RULES, LOAD)  # which replaces the whole block
        mesh.measure(TrafficRules(max_connections=3), LOAD)
    assert world.sent[-1][0]["connectionPool"]["tcp"]["maxConnections"] == 3
    assert world.restored


def test_rules_that_the_clusters_istio_does_not_have(world, shop):
    from meshgym.scenarios import parse_scenario

    world.admin.istio = "1.26.4"
    rules = "[rules]\nretry_budget_percent = [10, 20]\nmax_connections = 3\n"
    text = f"{rules}[load]\nthreads = 1\ncalls = 20\n[actions]\nthreads = [1]\ncalls = [20]\n"
    scenario = parse_scenario("budget", text)
    accept = ["http2_max_requests", "load_balancer"]
    mesh = IstioMesh(**world.arguments(scenario=scenario, accept=accept))
    with mesh, pytest.raises(InvalidValueError, match=r"retry_budget_percent.*it is there since 1.27"):
        mesh.measure(RULES, LOAD)
    assert not world.sent


def test_a_sidecar_that_was_upgraded_in_the_middle_of_a_collection(world, shop, tmp_path):
    from meshgym.traces.collect import collect
    from meshgym.traces.collection import read_collection

    with pytest.raises(InvalidValueError), IstioMesh(**world.arguments(max_calls=80)) as mesh:
        collect(shop, tmp_path, rows=6, mesh=mesh)
    world.admin.istio = "1.31.2"
    with IstioMesh(**world.arguments()) as mesh:
        collect(shop, tmp_path, rows=6, mesh=mesh)
    about, rows = read_collection(tmp_path / "collection.db")
    assert len(rows) == 6
    assert about["versions"]["istio"] == "1.31.0"
    (change,) = about["later_versions"]
    assert change["istio"] == "1.31.2"
    assert 0 < change["from_row"] < 6


def test_an_api_server_that_is_only_slow_is_not_away(world):
    world.api.faults.append(Fault("", "httpbin", 0, hang_s=0.1, times=20))
    with IstioMesh(**world.arguments(wait_s=0)) as mesh:
        mesh.measure(RULES, LOAD)
    assert world.restored


def test_away_is_no_failure_of_a_run():
    assert not issubclass(AwayError, MeshError)

"""Load through Fortio: what counts as a result, and that nothing else does."""

from __future__ import annotations

import pytest
from mesh.cluster.standins.server import Fault

from meshgym.errors import LoadError
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.types import Load, TrafficRules

RULES = TrafficRules(2, 1, 4, 180, 50, 0.25, 6)
LOAD = Load(5, 40)
NO_ENDPOINTS = {"kind": "Status", "status": "Failure", "message": "no endpoints available for service", "code": 503}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("POST", "run", 503, NO_ENDPOINTS), "something other than Fortio responds.*HTTP 503.*no endpoints"),
        (Fault("POST", "run", 503, "upstream connect error"), "something other than Fortio"),
        (Fault("POST", "run", 200, "<html>log in</html>"), "something other than Fortio responds.*log in"),
        (Fault("POST", "run", 400, {"error": True, "message": "URL is required"}), "refuses the run: URL is required"),
        (Fault("POST", "run", 200, {"RetCodes": {"200": 40}, "NumThreads": 5}), "lacks what is needed"),
        (Fault("POST", "run", 200, {"RetCodes": {"200": 7}, "NumThreads": 5}), "made 7 of 40 calls"),
        (Fault("POST", "run", reset=True), "doesn't respond"),
        (Fault("POST", "run", hang_s=1.5), "doesn't respond.*timed out"),
    ],
)
def test_load_that_was_not_sent_is_no_result(world, fault, message):
    world.fortio.faults.append(fault)
    with IstioMesh(**world.arguments()) as mesh:
        with pytest.raises(LoadError, match=message):
            mesh.measure(RULES, LOAD)
        mesh.measure(RULES, LOAD)
    assert world.restored


def test_fortios_own_refusal(world):
    said = "refuses the run: Aborting because of error: lookup nowhere"
    url = "http://nowhere.invalid/"
    with IstioMesh(**world.arguments(target_url=url)) as mesh, pytest.raises(LoadError, match=said):
        mesh.measure(RULES, LOAD)
    assert world.restored


def test_nothing_but_503s_is_a_result_and_nothing_but_socket_errors_is_none(world):
    with IstioMesh(**world.arguments()) as mesh:
        world.fortio.codes = {"503": 1}
        response = mesh.measure(RULES, LOAD)
        assert (response.p200, response.p503, response.details["other_error"]) == (0, 1, 0)
        world.fortio.codes = {"200": 0.5, "-1": 0.25, "404": 0.25}
        response = mesh.measure(RULES, LOAD)
        assert (response.p200, response.p503, response.details["other_error"]) == (0.5, 0, 20)
        world.fortio.codes = {"-1": 1}
        with pytest.raises(LoadError, match="not one of 40 calls got a response"):
            mesh.measure(RULES, LOAD)


def test_a_run_that_is_not_waited_for_is_stopped_and_nobody_elses(world):
    world.fortio.hold.set()
    with IstioMesh(**world.arguments()) as mesh, pytest.raises(LoadError, match="timed out"):
        mesh.measure(RULES, LOAD)
    (label,) = [body["labels"] for method, path, body in world.fortio.asked if path.endswith("run")]
    assert world.fortio.stopped == [label]

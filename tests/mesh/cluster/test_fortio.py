"""Load through Fortio: what counts as a result, and that nothing else does."""

from __future__ import annotations

import dataclasses
import re

import pytest
from mesh.cluster.standins.server import Fault

from meshgym.errors import AwayError, DisturbedError, InvalidValueError, LoadError
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.types import Load, TrafficRules

RULES = TrafficRules(2, 1, 4, 180, 50, 0.25, 6)
LOAD = Load(5, 40)
NO_ENDPOINTS = {"kind": "Status", "status": "Failure", "message": "no endpoints available for service", "code": 503}


def result(**other):
    """A whole result of Fortio for ``LOAD``, but for what is other."""
    return {
        "RetCodes": {"200": 30, "503": 10},
        "ActualQPS": 80.0,
        "ActualDuration": 500_000_000,
        "NumThreads": 5,
        "DurationHistogram": {"Count": 40, "Data": []},
        "Labels": "",
        "URL": "http://httpbin:8000/get",
        **other,
    }


NAN = {"Count": 40, "Data": [{"Start": 0, "End": float("nan"), "Count": 40}]}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("POST", "run", 503, NO_ENDPOINTS), "something other than Fortio responds.*HTTP 503.*no endpoints"),
        (Fault("POST", "run", 503, "upstream connect error"), "something other than Fortio"),
        (Fault("POST", "run", reset=True), "doesn't respond"),
        (Fault("POST", "run", hang_s=1.5), "doesn't respond.*timed out"),
        (Fault("GET", "status", 502), "no Fortio responds"),
    ],
)
def test_a_fortio_that_is_away_is_waited_for(world, fault, message, caplog):
    world.fortio.faults.append(fault)
    with IstioMesh(**world.arguments(wait_s=0)) as mesh, pytest.raises(AwayError, match=message):
        mesh.measure(RULES, LOAD)
    world.fortio.faults.append(dataclasses.replace(fault, times=2))
    caplog.clear()
    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
    (line,) = caplog.messages
    assert re.search(f"waiting up to 20 s: .*{message}", line)
    assert world.restored


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("POST", "run", 200, "<html>log in</html>"), "something other than Fortio responds.*log in"),
        (Fault("POST", "run", 400, {"error": True, "message": "URL is required"}), "refuses the run: URL is required"),
        (Fault("POST", "run", 302, "", {"Location": "/elsewhere"}), "something other than Fortio responds.*302"),
        (Fault("POST", "run", 200, [1]), "something other than Fortio responds"),
        (Fault("POST", "run", 200, {"RetCodes": {"200": 40}, "NumThreads": 5}), "missing required field `ActualQPS`"),
        (Fault("POST", "run", 200, result(RetCodes=[40])), "Expected `object`, got `array` - at `..RetCodes`"),
        (Fault("POST", "run", 200, result(RetCodes=None)), "missing required field `RetCodes`"),
        (Fault("POST", "run", 200, result(NumThreads=3)), "made 40 of 40 calls with 3 of 5 threads"),
        (Fault("POST", "run", 200, result(RetCodes={"200": 7})), "contradicts itself"),
        (Fault("POST", "run", 200, result(ActualQPS=1e9)), r"contradicts itself: 40 calls in 0.5 s aren't 1e\+09"),
        (Fault("POST", "run", 200, result(ActualDuration=0)), "numbers that can't be"),
        (Fault("POST", "run", 200, result(DurationHistogram=NAN)), "numbers that can't be"),
        (Fault("POST", "run", 200, result(RetCodes={"200": 50, "503": -10})), "numbers that can't be"),
        (Fault("POST", "run", 200, result(Labels="another")), "is of another run: its labels 'another'"),
    ],
    ids=str,
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
    url = "http://nowhere.invalid:8000/"
    with IstioMesh(**world.arguments(target_url=url)) as mesh, pytest.raises(LoadError, match=said):
        mesh.measure(RULES, LOAD)
    assert world.restored


def test_nothing_but_503s_is_a_result_and_nothing_but_socket_errors_is_none(world):
    with IstioMesh(**world.arguments(max_p503=1)) as mesh:
        world.fortio.codes = {"503": 1}
        response = mesh.measure(RULES, LOAD)
        assert (response.p200, response.p503, response.details["other_error"]) == (0, 1, 0)
        world.fortio.codes = {"200": 0.5, "404": 0.5}
        response = mesh.measure(RULES, LOAD)
        assert (response.p200, response.p503, response.details["other_error"]) == (0.5, 0, 20)
        world.fortio.codes = {"200": 0.5, "-1": 0.5}
        with pytest.raises(DisturbedError, match="20 of 40 calls broke on Fortio's own connections"):
            mesh.measure(RULES, LOAD)
        world.fortio.codes = {"-1": 1}
        with pytest.raises(LoadError, match="not one of 40 calls got a response"):
            mesh.measure(RULES, LOAD)


def test_a_run_that_is_not_waited_for_is_stopped_and_nobody_elses(world):
    world.fortio.hold.set()
    with IstioMesh(**world.arguments(wait_s=0)) as mesh, pytest.raises(AwayError, match="timed out"):
        mesh.measure(RULES, LOAD)
    (label,) = [body["labels"] for method, path, body in world.fortio.asked if path.endswith("run")]
    assert world.fortio.stopped == [label]


def test_an_open_loop_through_fortio(world):
    with IstioMesh(**world.arguments(max_qps=50, max_p503=1)) as mesh:
        response = mesh.measure(RULES, Load(rate_per_s=20, duration_s=2))
        assert response.qps == 20
        with pytest.raises(InvalidValueError, match="rate_per_s is 60; allowed: at most max_qps=50"):
            mesh.measure(RULES, Load(rate_per_s=60, duration_s=2))
        with pytest.raises(InvalidValueError, match="arrivals is 'poisson'; allowed: constant"):
            mesh.measure(RULES, Load(rate_per_s=20, duration_s=2, arrivals="poisson"))
    (body,) = [body for method, path, body in world.fortio.asked if path.endswith("run")]
    asked = {name: body[name] for name in ("n", "c", "qps", "uniform", "nocatchup")}
    assert asked == {"n": "40", "c": "20", "qps": "20", "uniform": "on", "nocatchup": "on"}
    with IstioMesh(**world.arguments(max_qps=100_000)) as mesh, pytest.raises(DisturbedError, match="not 100000"):
        mesh.measure(RULES, Load(rate_per_s=100_000, duration_s=0.01))

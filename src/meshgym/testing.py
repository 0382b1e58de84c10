"""Check your own mesh against the contract; a mesh and a simulator to test with.

from meshgym.testing import check_mesh
check_mesh(lambda: MyMesh(...), scenario="S1")
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product, starmap
from pathlib import Path

import numpy as np

from meshgym.errors import MeshError
from meshgym.fields import INT32_MAX, OUTCOMES
from meshgym.mesh.base import Mesh
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import Identity, Simulator
from meshgym.simulator.calibration import LEVELS
from meshgym.simulator.features import Features
from meshgym.simulator.network import Ensemble, Perceptrons, quantise
from meshgym.simulator.scaling import Scaling
from meshgym.traces.schema import COUNTS, EVERY_DETAIL
from meshgym.types import RESPONSE_NAMES, Load, Response, Setting, TrafficRules


class FakeMesh(Mesh):
    """A mesh that only calculates: requests that fit neither in a connection nor in the queue overflow.

    Args:
        qps_per_connection: requests per second that return 200 on one connection.

    Attributes:
        measured: the rules and loads of all runs so far.
    """

    live = False

    def __init__(self, qps_per_connection: float = 100.0) -> None:
        self.qps_per_connection = qps_per_connection
        self.measured: list[tuple[TrafficRules, Load]] = []
        self._closed = False

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        if self._closed:
            raise MeshError("the mesh is closed")
        self.measured.append((rules, load))
        connections = rules.max_connections or INT32_MAX
        held = connections + (rules.http1_max_pending_requests or INT32_MAX)
        overflow = round(load.calls * max(0, load.threads - held) / load.threads)
        busy = min(load.threads, connections)
        ok = load.calls - overflow
        return Response(
            qps=self.qps_per_connection * busy * load.calls / ok,
            p200=ok / load.calls,
            p503=overflow / load.calls,
            details={"ok": ok, "overflow": overflow},
        )

    def close(self) -> None:
        self._closed = True


_DETAILS = {**OUTCOMES, **EVERY_DETAIL}
#: What an untrained simulator predicts: middle and spread of each target.
_TARGETS = {
    "qps": (400.0, 100.0),
    "p503": (0.4, 0.1),
    "p_overflow": (0.1, 0.1),
    "p_no_healthy_host": (0.2, 0.1),
    "p_upstream_error": (0.1, 0.1),
    "latency_p50_s": (math.log(0.02), 0.3),
    "latency_p99_s": (math.log(0.05), 0.3),
}


def untrained_simulator(scenario: str | Path | Scenario = "S1", seed: int = 0) -> Simulator:
    """Make a simulator with random weights: its predictions mean nothing, but differ between settings.

    Args:
        scenario: the scenario that it claims to be fitted for.
        seed: of the weights.
    """
    scenario = load_scenario(scenario)
    generator = np.random.default_rng(seed)
    features = Features.of(scenario)
    width, outputs = 16, len(_TARGETS) * (1 + len(LEVELS))
    low, high = (np.array([getattr(span, end) for span in scenario.ranges.values()], float) for end in ("low", "high"))
    middle = features.derive((low + high)[None] / 2)[0]
    scaling = Scaling(
        low=low,
        high=high,
        input_mean=middle,
        input_scale=np.abs(features.derive(high[None])[0] - middle) + 1,
        output_mean=np.array([mean for mean, _ in _TARGETS.values()]),
        output_scale=np.array([scale for _, scale in _TARGETS.values()]),
    )
    shapes = [(len(features.names), width), (width, outputs)]
    ensemble = Ensemble(
        weights=tuple(quantise(generator.normal(0, i**-0.5, (2, i, o))) for i, o in shapes),
        biases=tuple(quantise(generator.normal(0, 0.3, (2, 1, o))) for _, o in shapes),
    )
    identity = Identity(
        scenario.name,
        "0" * 64,
        seed,
        outcomes=tuple(_TARGETS),
        constant={"p_reset": 0.0, "p_timeout": 0.0},
        settings=features.settings,
        fixed=features.fixed,
    )
    return Simulator(Perceptrons(ensemble, len(_TARGETS)), scaling, identity)


def check_mesh(make_mesh: Callable[[], Mesh], scenario: str | Path | Scenario = "S1") -> None:
    """Check that a mesh keeps the contract of :class:`meshgym.mesh.base.Mesh`.

    Measure the scenario's smallest and largest load under its lowest and its highest rules. Measure a mesh that
    isn't live a second time, and all settings at once.

    Args:
        make_mesh: returns a new mesh.
        scenario: rules and loads that the mesh can handle.

    Raises:
        AssertionError: the mesh breaks the contract; the message says how.
    """
    scenario = load_scenario(scenario)
    mesh = make_mesh()
    _require(isinstance(mesh, Mesh), f"{type(mesh).__name__} must be a subclass of meshgym.mesh.base.Mesh")
    _require(isinstance(mesh.live, bool), f"live must be True or False, it is {mesh.live!r}")
    with mesh as entered:
        _require(entered is mesh, "the with statement must give the mesh itself")
        responses = _measure(mesh, scenario)
    _check_closed(mesh, scenario)
    if not mesh.live:
        with make_mesh() as twin:
            again = _measure(twin, scenario)
            _require(again == responses, "without real traffic, meshes made alike must give equal responses")
            _check_many(twin, scenario)


def _settings(scenario: Scenario) -> list[Setting]:
    """Return the smallest and the largest load under the lowest rules, then under the highest."""
    rules = [
        scenario.rules_at([getattr(span, corner) for span in scenario.rules.values()]) for corner in ("low", "high")
    ]
    loads = [Load(scenario.actions["threads"][end], scenario.actions["calls"][end]) for end in (0, -1)]
    return list(starmap(Setting, product(rules, loads)))


def _measure(mesh: Mesh, scenario: Scenario) -> list[tuple[float, ...]]:
    """Measure and check each setting; return qps, p200 and p503 of each."""
    responses = []
    for setting in _settings(scenario):
        response = mesh.measure(setting.rules, setting.load)
        _check_response(response, setting.load)
        responses.append(tuple(getattr(response, name) for name in RESPONSE_NAMES))
    return responses


def _check_many(mesh: Mesh, scenario: Scenario) -> None:
    names = scenario.setting_names
    settings = [setting.to_row(names) for setting in _settings(scenario)]
    many = mesh.measure_many(settings, names)
    _require(isinstance(many, Response), f"measure_many() must return a Response, it returned {many!r}")
    shapes = {np.shape(column) for column in many[:-1]}
    _require(shapes == {(len(settings),)}, f"measure_many() of 4 settings must return arrays of shape (4,): {many}")


def _check_response(response: Response, load: Load) -> None:
    _require(isinstance(response, Response), f"measure() must return a Response, it returned {response!r}")
    _require(response.p200 + response.p503 <= 1 + 1e-6, f"p200 + p503 must not exceed 1: {response}")
    details = response.details or {}
    for name, value in details.items():
        _require(name in _DETAILS, f"{name!r} in details must be one of {', '.join(_DETAILS)}")
        column = _DETAILS[name]
        _require(column.low <= value <= column.high, f"{name} must be {column.allowed(column.low)}, it is {value}")
    if "ok" in details:
        calls = sum(details.get(name, 0) for name in COUNTS)
        _require(calls == load.calls, f"{', '.join(COUNTS)} must add up to {load.calls} calls: {details}")
        share = details["ok"] / load.calls
        _require(math.isclose(share, response.p200, abs_tol=1e-6), f"p200 must be ok / calls = {share}: {response}")


def _check_closed(mesh: Mesh, scenario: Scenario) -> None:
    mesh.close()  # a second time
    try:
        setting = _settings(scenario)[0]
        mesh.measure(setting.rules, setting.load)
    except MeshError:
        return
    raise AssertionError("measure() after close() must raise MeshError")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)

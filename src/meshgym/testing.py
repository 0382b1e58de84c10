"""The contract of a mesh, to be checked on one's own; a mesh and a simulator to test with.

from meshgym.testing import check_mesh
check_mesh(lambda: MyMesh(...), scenario="S1")
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from meshgym.errors import MeshError
from meshgym.mesh.base import Mesh
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import Identity, Simulator
from meshgym.simulator.artefact import Scaling
from meshgym.simulator.features import FEATURE_NAMES, derive
from meshgym.simulator.network import Ensemble, quantise
from meshgym.traces.schema import COLUMNS
from meshgym.types import LOAD_NAMES, RESPONSE_NAMES, Load, Response, TrafficRules

#: Where the calls of a run go; a mesh that counts them counts every call once.
_OUTCOMES = ("ok", "overflow", "no_healthy_host", "upstream_error", "other_error")


class FakeMesh(Mesh):
    """A mesh of arithmetic: what neither a connection nor the queue holds overflows, the rest is answered.

    Args:
        answers_per_s: answers a second of one connection.
    """

    live = False

    def __init__(self, answers_per_s: float = 100.0) -> None:
        self.answers_per_s = answers_per_s
        self.measured: list[tuple[TrafficRules, Load]] = []
        self._closed = False

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """See :meth:`Mesh.measure`; ``measured`` remembers what was asked."""
        if self._closed:
            raise MeshError("the mesh is closed")
        self.measured.append((rules, load))
        held = rules.max_connections + rules.http1_max_pending_requests
        overflow = round(load.calls * max(0, load.threads - held) / load.threads)
        busy = min(load.threads, rules.max_connections)
        ok = load.calls - overflow
        return Response(
            qps=self.answers_per_s * busy * load.calls / ok,
            p200=ok / load.calls,
            p503=overflow / load.calls,
            details={"ok": ok, "overflow": overflow},
        )

    def close(self) -> None:
        """See :meth:`Mesh.close`."""
        self._closed = True


def untrained_simulator(scenario: str | Path | Scenario = "S1", seed: int = 0) -> Simulator:
    """A simulator with drawn weights: what it answers means nothing, but differs from setting to setting.

    Args:
        scenario: whose ranges it claims to know.
        seed: of the weights.
    """
    scenario = load_scenario(scenario)
    generator = np.random.default_rng(seed)
    features, width, outputs = len(FEATURE_NAMES), 16, 4
    low, high = (np.array([getattr(span, end) for span in scenario.ranges.values()], float) for end in ("low", "high"))
    middle = derive((low + high)[None] / 2)[0]
    scaling = Scaling(
        low=low,
        high=high,
        input_mean=middle,
        input_scale=np.abs(derive(high[None])[0] - middle) + 1,
        output_mean=np.array([400.0, 0.4]),
        output_scale=np.array([100.0, 0.1]),
        spread=np.ones(2),
        correlation=np.array(0.5),
    )
    shapes = [(features, width), (width, outputs)]
    ensemble = Ensemble(
        weights=tuple(quantise(generator.normal(0, i**-0.5, (2, i, o))) for i, o in shapes),
        biases=tuple(quantise(generator.normal(0, 0.3, (2, 1, o))) for _, o in shapes),
    )
    return Simulator(ensemble, scaling, Identity(scenario=scenario.name, traces="0" * 64, seed=seed))


def check_mesh(make_mesh: Callable[[], Mesh], scenario: str | Path | Scenario = "S1") -> None:
    """Check that a mesh keeps the contract of :class:`meshgym.mesh.base.Mesh`.

    It is asked for the scenario's smallest and largest load under its lowest and its highest rules; a mesh
    that is not live twice.

    Args:
        make_mesh: makes a mesh that nothing was asked yet.
        scenario: rules and loads that the mesh can stand.

    Raises:
        AssertionError: what the mesh does that it should not, or does not what it should.
    """
    scenario = load_scenario(scenario)
    mesh = make_mesh()
    _require(isinstance(mesh, Mesh), f"{type(mesh).__name__} must be a subclass of meshgym.mesh.base.Mesh")
    _require(isinstance(mesh.live, bool), f"live must be True or False, it is {mesh.live!r}")
    with mesh as entered:
        _require(entered is mesh, "the with statement must give the mesh itself")
        answers = _answers(mesh, scenario)
    _check_closed(mesh, scenario)
    if not mesh.live:
        with make_mesh() as twin:
            _require(_answers(twin, scenario) == answers, "without real traffic, meshes made alike must answer alike")


def _answers(mesh: Mesh, scenario: Scenario) -> list[tuple[float, ...]]:
    """Ask and check every answer; returns qps, p200 and p503 of each."""
    answers = []
    for corner in ("low", "high"):
        for end in (0, -1):
            load = _load(scenario, end)
            response = mesh.measure(_rules(scenario, corner), load)
            _check_response(response, load)
            answers.append(tuple(getattr(response, name) for name in RESPONSE_NAMES))
    return answers


def _check_response(response: Response, load: Load) -> None:
    _require(isinstance(response, Response), f"measure() must return a Response, it returned {response!r}")
    _require(response.p200 + response.p503 <= 1 + 1e-6, f"p200 + p503 must not exceed 1: {response}")
    details = response.details or {}
    for name, value in details.items():
        _require(name in COLUMNS, f"{name!r} in details must be one of {', '.join(COLUMNS)}")
        column = COLUMNS[name]
        _require(column.low <= value <= column.high, f"{name} must lie in {column.low}..{column.high}, it is {value}")
    if "ok" in details:
        calls = sum(details.get(name, 0) for name in _OUTCOMES)
        _require(calls == load.calls, f"{', '.join(_OUTCOMES)} must add up to {load.calls} calls: {details}")
        share = details["ok"] / load.calls
        _require(math.isclose(share, response.p200, abs_tol=1e-6), f"p200 must be ok / calls = {share}: {response}")


def _check_closed(mesh: Mesh, scenario: Scenario) -> None:
    mesh.close()  # a second time
    try:
        mesh.measure(_rules(scenario, "low"), _load(scenario, 0))
    except MeshError:
        return
    raise AssertionError("measure() after close() must raise MeshError")


def _rules(scenario: Scenario, corner: str) -> TrafficRules:
    return TrafficRules(**{name: getattr(span, corner) for name, span in scenario.rules.items()})


def _load(scenario: Scenario, end: int) -> Load:
    return Load(**{name: scenario.actions[name][end] for name in LOAD_NAMES})


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)

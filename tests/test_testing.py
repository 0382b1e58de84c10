"""The contract of a mesh: our meshes keep it, and check_mesh notices when another one breaks it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from meshgym.errors import MeshError
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.scenarios import Scenario
from meshgym.simulator import SimulatedMesh, Simulator
from meshgym.testing import FakeMesh, check_mesh
from meshgym.types import Load, Response, TrafficRules


def test_the_fake_mesh_keeps_it() -> None:
    check_mesh(FakeMesh)


@pytest.mark.parametrize("sample", [False, True])
def test_the_simulated_mesh_keeps_it(shop: Scenario, simulator: Simulator, sample: bool) -> None:
    check_mesh(lambda: SimulatedMesh(simulator, sample=sample, seed=1), shop)


@pytest.mark.envoy
def test_the_embedded_mesh_keeps_it(shop: Scenario) -> None:
    check_mesh(lambda: EmbeddedMesh(shop), shop)


class _Altered(FakeMesh):
    """Responds with something changed."""

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.changes = changes

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        response = super().measure(rules, load)
        known = {name: getattr(response, name) for name in ("qps", "p200", "p503", "details")}
        return Response(**{**known, **self.changes})


class _NeverCloses(FakeMesh):
    def close(self) -> None: ...


class _ClosesOnce(FakeMesh):
    def close(self) -> None:
        if self._closed:
            raise MeshError("closed already")
        super().close()


class _EntersAnother(FakeMesh):
    def __enter__(self) -> Any:
        return FakeMesh()


class _SaysNothing(FakeMesh):
    def measure(self, rules: TrafficRules, load: Load) -> Any:
        super().measure(rules, load)


class _OneForMany(FakeMesh):
    def measure_many(self, settings: Any, names: Any = ()) -> Response:
        return FakeMesh().measure(TrafficRules(*settings[0][:7]), Load(*settings[0][7:]))


class _Vague(FakeMesh):
    live: Any = None


def _drifting() -> Any:
    speeds = itertools.count(100)
    return lambda: FakeMesh(qps_per_connection=next(speeds))


@pytest.mark.parametrize(
    ("make_mesh", "complaint"),
    [
        (object, "must be a subclass"),
        (_Vague, "live must be True or False"),
        (_EntersAnother, "must give the mesh itself"),
        (_NeverCloses, r"after close\(\) must raise MeshError"),
        (_SaysNothing, "must return a Response"),
        (lambda: _Altered(p200=1, p503=0.5), "must not exceed 1"),
        (lambda: _Altered(details={"retries": 1}), "'retries' in details must be one of"),
        (lambda: _Altered(details={"ejections": -1}), "ejections must be a whole number 0..2147483647"),
        (lambda: _Altered(details={"ok": 1}), "must add up to 435 calls"),
        (lambda: _Altered(p200=0.25, p503=0.75), "p200 must be ok / calls"),
        (_OneForMany, r"must return arrays of shape \(4,\)"),
        (_drifting(), "meshes made alike must give equal responses"),
    ],
)
def test_what_breaks_it_is_named(make_mesh: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_mesh(make_mesh)


def test_closing_twice_is_part_of_it() -> None:
    with pytest.raises(MeshError, match="closed already"):
        check_mesh(_ClosesOnce)

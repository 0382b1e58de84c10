"""A mesh whose responses come from a simulator instead of real traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meshgym.errors import InvalidValueError, MeshError
from meshgym.mesh.base import IndexedMesh, Mesh
from meshgym.scenarios import Scenario
from meshgym.simulator.artefact import Simulator
from meshgym.simulator.table import response_table
from meshgym.types import SETTING_NAMES, Load, Response, Setting, TrafficRules


class SimulatedMesh(Mesh):
    """The mesh interface over a simulator.

    Args:
        simulator: what predicts the responses.
        sample: draw each response from the predicted distribution, as runs of a real mesh scatter, instead of
            returning the expected one.
        seed: of the draws.
    """

    live = False

    def __init__(self, simulator: Simulator, *, sample: bool = False, seed: int | None = None) -> None:
        self.simulator = simulator
        self.sample = sample
        self._generator = np.random.default_rng(seed)
        self._closed = False

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """Return the expected response, or draw one.

        Raises:
            MeshError: the mesh is closed.
        """
        names = self.simulator.identity.settings
        *columns, _ = self.measure_many([Setting(rules, load).to_row(names)], names)
        return Response._make([*(column.item() for column in columns), None])

    def measure_many(self, settings: Any, names: Sequence[str] = SETTING_NAMES) -> Response:
        """Return n expected responses, or draw them, with one prediction.

        Args:
            settings: shape (n, columns).
            names: the columns, those of the simulator's ``identity.settings``.

        Raises:
            InvalidValueError: other columns, another shape, or a number that isn't finite.
            MeshError: the mesh is closed.
        """
        self._check_open()
        if tuple(names) != self.simulator.identity.settings:
            allowed = ", ".join(self.simulator.identity.settings)
            raise InvalidValueError("columns of settings", list(names), f"those of the simulator: {allowed}")
        expected = self.simulator.predict(settings)
        if not self.sample:
            return expected
        return draw(expected, float(self.simulator.scaling.correlation), self._generator)

    def on_grid(self, scenario: Scenario) -> IndexedMesh:
        """Return the simulator's response table, or the drawing mesh by index.

        Raises:
            MeshError: the mesh is closed. A table that was returned before stays readable.
        """
        self._check_open()
        return super().on_grid(scenario) if self.sample else response_table(self.simulator, scenario)

    def _check_open(self) -> None:
        if self._closed:
            raise MeshError("the mesh is closed; make a new SimulatedMesh")

    def close(self) -> None:
        """Raise ``MeshError`` on every later call."""
        self._closed = True


def draw(expected: Response, correlation: float, generator: np.random.Generator) -> Response:
    """Draw responses as single runs would give them: normal around the expected ones, then clipped.

    Args:
        expected: n responses.
        correlation: of the deviations of qps and p503, -1..1.
        generator: two numbers per response are drawn from it.

    Returns:
        n responses with drawn ``qps``, ``p503`` and ``p200``; the share that is neither 200 nor 503 stays.
    """
    first, second = generator.standard_normal((2, len(expected.qps)), dtype=np.float32)
    second = np.float32(correlation) * first + np.float32(np.sqrt(1 - correlation**2)) * second
    other = 1 - expected.p200 - expected.p503
    p503 = np.clip(expected.p503 + second * expected.p503_std, 0, 1 - other)
    return expected._replace(
        qps=np.maximum(expected.qps + first * expected.qps_std, 0), p200=np.clip(1 - p503 - other, 0, 1), p503=p503
    )

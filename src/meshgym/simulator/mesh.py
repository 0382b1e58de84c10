"""A mesh whose responses come from a simulator instead of real traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meshgym.errors import InvalidValueError, MeshError
from meshgym.mesh.base import IndexedMesh, Mesh
from meshgym.scenarios import Scenario
from meshgym.simulator.artefact import Simulator
from meshgym.simulator.sampled import SampledTable
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
        *columns, further = self.measure_many([Setting(rules, load).to_row(names)], names)
        details = {name: column.item() for name, column in further.items()} if further else None
        return Response._make([*(column.item() for column in columns), details])

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
        if self.sample:
            return self.simulator.sample(settings, self._generator)
        return self.simulator.predict(settings)

    def on_grid(self, scenario: Scenario, further: bool = False) -> IndexedMesh:
        """Return the simulator's response table, or the drawing mesh by index.

        Raises:
            MeshError: the mesh is closed. A table that was returned before stays readable.
        """
        self._check_open()
        table = response_table(self.simulator, scenario, further)
        return SampledTable(table, further, self._generator) if self.sample else table

    def _check_open(self) -> None:
        if self._closed:
            raise MeshError("the mesh is closed; make a new SimulatedMesh")

    def close(self) -> None:
        """Raise ``MeshError`` on every later call."""
        self._closed = True

"""What answers a step: a simulator's table, or a live mesh. Both speak of rows and choices, not of values."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from meshgym.envs.contexts import rule_grid
from meshgym.envs.spaces import Choice, IntArray
from meshgym.errors import InvalidValueError, LoadError, MeshError
from meshgym.mesh.base import Mesh
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator, response_table
from meshgym.types import LOAD_NAMES, Load, TrafficRules

#: ``qps``, ``p200``, ``p503`` and how far to trust them: ``qps_std``, ``p503_std``, ``outside``.
Measurements = dict[str, Any]


class Responses(Protocol):
    """Answers the question "these rules, this load: what happens?" by index."""

    #: Row of the rules grid, threads and calls of an index; see :func:`meshgym.envs.contexts.rule_grid`.
    rules: NDArray[np.float64]

    def __call__(self, row: Choice, threads: Choice, calls: Choice) -> Measurements:
        """Measurements, numbers for ints and arrays for arrays."""


class TableResponses:
    """Reads a simulator's response table.

    A table too large to be filled at once is filled as it is read: for many environments the entries asked
    for, for one the whole row of actions, since a call for many entries costs hardly more than one for one.

    Args:
        simulator: what answers.
        scenario: its rules and actions span the table.
    """

    def __init__(self, simulator: Simulator, scenario: Scenario) -> None:
        self._simulator, self._scenario = simulator, scenario
        self._table = response_table(simulator, scenario)
        self.rules = self._table.rules
        self._columns = self._table.columns
        self._n_threads, self._n_calls = len(self._table.threads), len(self._table.calls)
        self._ready = np.full(len(self._columns["qps"]), self._table.dense)

    def __call__(self, row: Choice, threads: Choice, calls: Choice) -> Measurements:
        """See :class:`Responses`."""
        flat: Any = (row * self._n_threads + threads) * self._n_calls + calls
        if isinstance(flat, int):
            if not self._ready[flat]:
                self._fill_row(row)
            return {name: column.item(flat) for name, column in self._columns.items()}
        if not self._table.dense:
            self._fill(*(index[~self._ready.take(flat)] for index in np.broadcast_arrays(row, threads, calls)))
        taken = {name: column.take(flat) for name, column in self._columns.items()}
        return {name: values if name == "outside" else values.astype(np.float64) for name, values in taken.items()}

    def _fill_row(self, row: Choice) -> None:
        threads, calls = np.indices((self._n_threads, self._n_calls)).reshape(2, -1)
        self._fill(np.full_like(threads, row), threads, calls)

    def _fill(self, rows: IntArray, threads: IntArray, calls: IntArray) -> None:
        if len(rows):
            self._table.lookup(rows, threads, calls)
            self._ready[self._table.index(rows, threads, calls)] = True

    def __reduce__(self) -> tuple[type[TableResponses], tuple[Simulator, Scenario]]:
        return type(self), (self._simulator, self._scenario)  # the table is made again where it is needed


class MeshResponses:
    """Asks a mesh, one run at a time, and no more than was allowed.

    Args:
        mesh: what answers; None until it is set.
        scenario: its rules and actions are what is asked.
        max_calls_per_step: refuse scenarios with an action of more calls.
        max_calls: refuse to send more calls than this in total.

    Raises:
        InvalidValueError: an action of the scenario has more calls than a step may have.
    """

    def __init__(self, mesh: Mesh | None, scenario: Scenario, max_calls_per_step: int, max_calls: int) -> None:
        largest = scenario.actions["calls"][-1]
        if largest > max_calls_per_step:
            raise InvalidValueError(
                f"largest number of calls in scenario {scenario.name}",
                largest,
                f"at most max_calls_per_step={max_calls_per_step}",
                "Raise max_calls_per_step if the service can take it.",
            )
        self.rules = rule_grid(scenario)
        self.mesh = mesh
        self.sent = 0
        self._max_calls = max_calls
        self._values = [scenario.actions[name] for name in LOAD_NAMES]

    def __call__(self, row: Choice, threads: Choice, calls: Choice) -> Measurements:
        """See :class:`Responses`; numbers only.

        Raises:
            LoadError: the run would exceed the limit on calls.
            MeshError: the mesh could not answer, or there is none.
        """
        if self.mesh is None:
            raise MeshError("there is no mesh to ask: the environment is closed. Call reset() to start it again")
        load = Load(*(values[choice] for values, choice in zip(self._values, (threads, calls), strict=True)))
        if self.sent + load.calls > self._max_calls:
            raise LoadError(
                f"{load.calls} calls more would exceed max_calls={self._max_calls}: {self.sent} are sent already. "
                "Make a new environment with a higher max_calls if the service can take it."
            )
        self.sent += load.calls
        response = self.mesh.measure(TrafficRules(*self.rules[row]), load)
        unknown = {"qps_std": math.nan, "p503_std": math.nan, "outside": False}
        return {"qps": response.qps, "p200": response.p200, "p503": response.p503, **unknown}

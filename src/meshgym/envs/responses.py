"""What answers a step: a simulator's table, or a live mesh. Both speak of rows and choices, not of values."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from meshgym.envs.spaces import Choice
from meshgym.errors import InvalidValueError, LoadError, MeshError
from meshgym.mesh.base import Mesh
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator, response_table
from meshgym.simulator.artefact import PREDICTION_NAMES
from meshgym.types import LOAD_NAMES, Load, TrafficRules

#: ``qps``, ``p200``, ``p503`` and how far to trust them: ``qps_std``, ``p503_std``, ``outside``.
Measurements = dict[str, Any]


class Responses(Protocol):
    """Answers the question "these rules, this load: what happens?" by index."""

    #: Row of the rules grid, threads and calls of an index; see :meth:`meshgym.scenarios.Scenario.rule_grid`.
    rules: NDArray[np.float64]

    def __call__(self, row: Choice, threads: Choice, calls: Choice) -> Measurements:
        """Measurements, numbers for ints and arrays for arrays."""


class TableResponses:
    """Reads a simulator's response table.

    Args:
        simulator: what answers.
        scenario: its rules and actions span the table.
    """

    def __init__(self, simulator: Simulator, scenario: Scenario) -> None:
        self._simulator, self._scenario = simulator, scenario
        self._table = response_table(simulator, scenario)
        self.rules = self._table.rules
        self._n_threads, self._n_calls = len(self._table.threads), len(self._table.calls)

    def __call__(self, row: Choice, threads: Choice, calls: Choice) -> Measurements:
        """See :class:`Responses`."""
        flat: Any = (row * self._n_threads + threads) * self._n_calls + calls
        if isinstance(flat, int):
            if not self._table.filled[flat]:  # all actions under these rules: hardly dearer than this one
                actions = self._n_threads * self._n_calls
                self._table.read(np.arange(actions) + row * actions)
            qps, p200, p503, qps_std, p503_std, outside, *_ = self._table.entries[flat].tolist()
            spread = {"qps_std": qps_std, "p503_std": p503_std, "outside": bool(outside)}
            return {"qps": qps, "p200": p200, "p503": p503, **spread}
        found = self._table.read(flat).astype(np.float64)
        measured = {name: found[..., column] for column, name in enumerate(PREDICTION_NAMES)}
        measured["outside"] = measured["outside"].astype(bool)
        return measured

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
        if not largest <= max_calls_per_step:  # so that NaN is no limit that all loads pass
            raise InvalidValueError(
                f"largest number of calls in scenario {scenario.name}",
                largest,
                f"at most max_calls_per_step={max_calls_per_step}",
                "Raise max_calls_per_step if the service can take it.",
            )
        self.rules = scenario.rule_grid()
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
        if not self.sent + load.calls <= self._max_calls:
            raise LoadError(
                f"{load.calls} calls more would exceed max_calls={self._max_calls}: {self.sent} are sent already. "
                "Make a new environment with a higher max_calls if the service can take it."
            )
        self.sent += load.calls
        response = self.mesh.measure(TrafficRules(*self.rules[row]), load)
        unknown = {"qps_std": math.nan, "p503_std": math.nan, "outside": False}
        return {"qps": response.qps, "p200": response.p200, "p503": response.p503, **unknown}

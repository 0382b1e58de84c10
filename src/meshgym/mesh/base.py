"""What a mesh is: anything that answers "these rules, this load: what happens?"."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meshgym.fields import OUTCOMES
from meshgym.scenarios import Scenario
from meshgym.types import (
    SETTING_NAMES,
    Load,
    Response,
    Setting,
    TrafficRules,
    check_settings,
    further_outcomes,
)

#: A run with too few 200s for a percentile leaves it out.
_NO_LATENCY = {name: math.nan for name, field in OUTCOMES.items() if field.unit == "s"}
#: An index, or an array of them.
Index = int | NDArray[Any]


class Mesh(ABC):
    """A service behind traffic rules: a real Envoy, a real cluster, or a simulator of one.

    A mesh can be asked for one setting (:meth:`measure`), for many (:meth:`measure_many`) or by index into a
    scenario's grid (:meth:`on_grid`); what it costs differs between meshes, the interface doesn't.

    A mesh is a context manager. After :meth:`close`, which may be called more than once, everything it started
    has ended, everything it changed is restored, and measuring raises ``MeshError``.
    """

    #: True where each run costs real traffic.
    live: bool = True

    @abstractmethod
    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """Put ``rules`` in force, send ``load``, and return what came back.

        Every call starts afresh: no ejection, open connection or counter of an earlier one is left.

        Raises:
            RulesRefusedError: the proxy did not take the rules.
            LoadError: the load could not be sent or did not finish.
            MeshError: the mesh is closed or broken.
        """

    def measure_many(self, settings: Any, names: Sequence[str] = SETTING_NAMES) -> Response:
        """Measure n settings; one after the other, unless the mesh can do better.

        Args:
            settings: shape (n, columns).
            names: the columns: rules, then load; by default the paper's.

        Returns:
            The responses, as arrays of shape (n,); without ``details``.

        Raises:
            InvalidValueError: another shape, or a setting out of range.
            MeshError: as :meth:`measure`.
        """
        asked = [Setting.from_row(row, names) for row in check_settings(settings, names)]
        return stacked([self.measure(setting.rules, setting.load) for setting in asked])

    def on_grid(self, scenario: Scenario, further: bool = False) -> IndexedMesh:
        """Return the same mesh, asked by index into the scenario's grid of rules and actions.

        Args:
            scenario: whose grid it is.
            further: whether its responses must have ``details``; a mesh that has them anyway leaves them there.
        """
        return _MeasuredOnGrid(self, scenario)

    def about(self) -> dict[str, Any]:
        """Describe the service that is measured, as plain values for a collection's provenance; no secrets."""
        return {"mesh": type(self).__name__}

    def versions(self) -> dict[str, str]:
        """Return the versions of what is measured with; they may change in the middle of a collection."""
        return {}

    def close(self) -> None:
        """End what was started, restore what was changed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def stacked(responses: Sequence[Response]) -> Response:
    """Return single responses as one of arrays, shape (n,), without details."""
    *columns, _ = zip(*responses, strict=True) if responses else [()] * len(Response._fields)
    return Response._make([*map(np.array, columns), None])


class IndexedMesh(ABC):
    """A mesh on a scenario's grid. Environments use it, because they choose among indices.

    Args:
        scenario: its rules and actions span the grid.

    Attributes:
        scenario: whose grid it is.
        rules: all combinations of rules, shape (rows, rules); see :meth:`meshgym.scenarios.Scenario.rule_grid`.
        paces, calls: the actions, shape (n_paces,) and (n_calls,); a pace is a number of threads, or a rate.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rules = scenario.rule_grid()
        self.paces, self.calls = (np.array(scenario.actions[name], np.float64) for name in scenario.load_names)

    @property
    def expected(self) -> IndexedMesh:
        """The mesh that returns what is expected where this one draws."""
        return self

    def seed(self, generators: Sequence[np.random.Generator]) -> None:
        """Begin new draws; a mesh that doesn't draw ignores it.

        Args:
            generators: one per entry that :meth:`measure` is asked for at once. They are left as they are.
        """

    @abstractmethod
    def measure(self, row: Index, pace: Index, calls: Index) -> Response:
        """Measure one entry of the grid, or many.

        Args:
            row: row of :attr:`rules`.
            pace: index into :attr:`paces`.
            calls: index into :attr:`calls`.

        Returns:
            Numbers for ints; for arrays of one shape, float64 arrays of that shape. ``details`` has the further
            outcomes that the mesh tells, by name (see :data:`meshgym.fields.OUTCOMES`).
        """

    def settings(self, row: NDArray[Any], pace: NDArray[Any], calls: NDArray[Any]) -> NDArray[np.float64]:
        """Return the settings of n entries, shape (n, columns); arguments as in :meth:`measure`, of shape (n,)."""
        return np.column_stack([self.rules[row], self.paces[pace], self.calls[calls]])


class _MeasuredOnGrid(IndexedMesh):
    """Measures each entry whenever it is asked for."""

    def __init__(self, mesh: Mesh, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._mesh = mesh

    def measure(self, row: Index, pace: Index, calls: Index) -> Response:
        """See :meth:`IndexedMesh.measure`."""
        if isinstance(row, int):
            setting = self.scenario.setting_at([*self.rules[row], self.paces[pace], self.calls[calls]])
            response = self._mesh.measure(setting.rules, setting.load)
            told = response.details or {}
            known = {**_NO_LATENCY, **told} if "ok" in told else told
            return response._replace(details=further_outcomes(known, setting.load.calls) or None)
        entries = (np.ravel(index) for index in (row, pace, calls))
        *columns, _ = self._mesh.measure_many(self.settings(*entries), self.scenario.setting_names)
        return Response._make([*(column.reshape(row.shape) for column in columns), None])

"""A scenario's finite grid of rules and actions: a simulator predicts each entry once, later it is read."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError
from meshgym.mesh.base import Index, IndexedMesh
from meshgym.scenarios import Scenario
from meshgym.simulator.artefact import Simulator
from meshgym.simulator.lazy import LazyRows
from meshgym.types import Response

IntArray = NDArray[np.int64]

#: Entries that fit into memory: 33 bytes each, or 65 with further outcomes.
MAX_ENTRIES = 100_000_000
#: An entry's numbers lie together, filled up to a multiple of 32 bytes: a random read costs one cache miss, and NumPy
#: copies rows of 32 bytes several times faster than narrower ones.
_WIDTH = 8
#: Columns before the further outcomes.
_FIRST = len(Response._fields) - 1
_make = partial(tuple.__new__, Response)


class ResponseTable(IndexedMesh):
    """Responses to every combination of a scenario's rules and actions, each predicted when it is first read.

    Args:
        simulator: what predicts; an entry equals its prediction to the last bit.
        scenario: its rule ranges and its actions span the grid.
        further: whether it also holds the simulator's further outcomes, in twice the room.

    Attributes:
        read: returns copies of entries, see :meth:`meshgym.simulator.lazy.LazyRows.read`.
        entries: one response per row: ``qps``, ``p200``, ``p503``, ``qps_std``, ``p503_std``, ``outside``, the
            simulator's ``further`` outcomes, and unused columns. Shape (rows * n_paces * n_calls, 8 or 16), flat
            index ``(row * n_paces + pace) * n_calls + calls``.
        filled: which entries are predicted already, shape (rows * n_paces * n_calls,).

    Raises:
        InvalidValueError: the grid is too large.
    """

    def __init__(self, simulator: Simulator, scenario: Scenario, further: bool = False) -> None:
        size = math.prod(
            [len(span.values) for span in scenario.rules.values()] + list(map(len, scenario.actions.values()))
        )
        if size > MAX_ENTRIES:
            raise InvalidValueError(
                f"number of rules and actions of scenario {scenario.name}",
                size,
                f"at most {MAX_ENTRIES}",
                "Give its ranges larger steps: [low, high, step].",
            )
        super().__init__(scenario)
        self.simulator, self._scenario = simulator, scenario
        self._n_paces, self._n_calls = len(self.paces), len(self.calls)
        self._further = simulator.further if further else ()
        used = _FIRST + len(self._further)
        self._columns = {name: _FIRST + number for number, name in enumerate(self._further)}
        #: Names its rows, see :class:`meshgym.simulator.lazy.LazyRows`.
        self.name = f"{simulator.sha256} {scenario.rules} {scenario.actions} {self._further}"
        self._rows = LazyRows(size, -(-used // _WIDTH) * _WIDTH, self.name, self._predict)
        self.beside: dict[str, LazyRows] = {}  # what else is known of its entries, see meshgym.simulator.sampled
        self.entries, self.filled, self.read = self._rows.entries, self._rows.filled, self._rows.read

    def __reduce__(self) -> tuple[object, tuple[Simulator, Scenario, bool]]:
        return response_table, (self.simulator, self._scenario, bool(self._further))  # filled again where it's needed

    def measure(self, row: Index, pace: Index, calls: Index) -> Response:
        flat: Any = (row * self._n_paces + pace) * self._n_calls + calls  # as index(), but without another call
        if isinstance(flat, int):
            entry = self.entries[flat].tolist()
            # Predicting all actions under these rules hardly takes longer than this one. Nearly all filled entries have
            # a share above 0, so it isn't looked up whether they are filled.
            if not (entry[1] or entry[2]) and not self.filled[flat]:
                actions = self._n_paces * self._n_calls
                self.read(np.arange(actions) + row * actions)
                entry = self.entries[flat].tolist()
            qps, p200, p503, qps_std, p503_std, outside = entry[:_FIRST]
            details = dict(zip(self._further, entry[_FIRST:], strict=False)) if self._further else None
            return _make((qps, p200, p503, qps_std, p503_std, bool(outside), details))
        return self._response(self.read(flat).astype(np.float64))

    def lookup(self, row: IntArray, pace: IntArray, calls: IntArray) -> Response:
        """Return chosen entries as they are stored: float32 arrays; arguments as in :meth:`measure`."""
        return self._response(self.read(np.asarray(self.index(row, pace, calls))))

    def _response(self, entries: NDArray[np.floating]) -> Response:
        """Return entries, shape (..., columns), as one response of arrays."""
        qps, p200, p503, qps_std, p503_std, outside = (entries[..., column] for column in range(_FIRST))
        details = {name: entries[..., column] for name, column in self._columns.items()} or None
        return _make((qps, p200, p503, qps_std, p503_std, outside.astype(bool), details))

    def index(self, row: Index, pace: Index, calls: Index) -> Index:
        """Return flat indices into :attr:`entries`; arguments as in :meth:`measure`."""
        return (row * self._n_paces + pace) * self._n_calls + calls

    def settings_at(self, flat: IntArray) -> NDArray[np.float64]:
        """Return the settings of flat indices, shape (n, columns)."""
        return self.settings(*np.unravel_index(flat, (len(self.rules), self._n_paces, self._n_calls)))

    def _predict(self, flat: IntArray) -> list[NDArray[np.float32]]:
        *columns, further = self.simulator.predict(self.settings_at(flat))
        return [*columns, *((further or {})[name] for name in self._further)]


def response_table(simulator: Simulator, scenario: Scenario, further: bool = False) -> ResponseTable:
    """Return the table of a simulator and a scenario, made on first use and shared from then on.

    Args:
        simulator, scenario, further: see :class:`ResponseTable`.
    """
    grid = repr((scenario.rules, scenario.actions, further))
    if grid not in simulator.tables:
        simulator.tables[grid] = ResponseTable(simulator, scenario, further)
    table: ResponseTable = simulator.tables[grid]
    return table

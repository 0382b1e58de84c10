"""A scenario's finite grid of rules and actions: each entry is answered once by a simulator, then read."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario
from meshgym.simulator.artefact import PREDICTION_NAMES, Prediction, Simulator

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Entries that fit into memory: 33 bytes each.
MAX_ENTRIES = 100_000_000
_BATCH = 65_536
#: An entry's numbers lie together, filled up to 32 bytes: a random read costs one cache miss, and NumPy copies
#: rows of 32 bytes several times faster than narrower ones.
_WIDTH = 8


class ResponseTable:
    """Predictions for every combination of a scenario's rules and actions, each made when it is first read.

    Args:
        simulator: what answers; an entry equals its prediction to the last bit.
        scenario: its rule ranges and its actions span the grid.

    Attributes:
        rules: all combinations of rules, shape (rows, 7), in C order of the ranges (the last rule
            changes fastest).
        threads, calls: the actions, shape (n_threads,) and (n_calls,).
        entries: the predictions, one a row: the fields of :class:`Prediction` in their order, then nothing.
            Shape (rows * n_threads * n_calls, 8), flat index ``(rule_row * n_threads + thread_choice) * n_calls
            + call_choice``.
        filled: which entries are made already, shape (rows * n_threads * n_calls,).

    Raises:
        InvalidValueError: the grid is too large.
    """

    def __init__(self, simulator: Simulator, scenario: Scenario) -> None:
        self.simulator = simulator
        self.threads = np.array(scenario.actions["threads"], dtype=np.float64)
        self.calls = np.array(scenario.actions["calls"], dtype=np.float64)
        size = math.prod(len(span.values) for span in scenario.rules.values()) * len(self.threads) * len(self.calls)
        if size > MAX_ENTRIES:
            raise InvalidValueError(
                f"number of rules and actions of scenario {scenario.name}",
                size,
                f"at most {MAX_ENTRIES}",
                "Give its ranges larger steps: [low, high, step].",
            )
        self.rules = scenario.rule_grid()
        self.entries = np.zeros((size, _WIDTH), dtype=np.float32)
        self.filled = np.zeros(size, dtype=bool)
        self._left = size

    def index(self, rule_rows: IntArray, thread_choice: IntArray, call_choice: IntArray) -> IntArray:
        """Flat indices into :attr:`entries`; the arguments are those of :meth:`lookup`."""
        rows = np.asarray(rule_rows) * len(self.threads) + thread_choice
        return rows * len(self.calls) + call_choice

    def lookup(self, rule_rows: IntArray, thread_choice: IntArray, call_choice: IntArray) -> Prediction:
        """Predictions for chosen entries.

        Args:
            rule_rows: rows of :attr:`rules`, shape (n,).
            thread_choice: which of :attr:`threads`, shape (n,).
            call_choice: which of :attr:`calls`, shape (n,).

        Returns:
            n predictions.
        """
        found = self.read(self.index(rule_rows, thread_choice, call_choice))
        columns = dict(zip(PREDICTION_NAMES, np.moveaxis(found, -1, 0), strict=False))
        return Prediction(**{**columns, "outside": columns["outside"].astype(bool)})

    def read(self, flat: IntArray) -> NDArray[np.float32]:
        """Entries by flat index; those not made yet are made.

        Args:
            flat: see :attr:`entries`, any shape.

        Returns:
            Copies of the entries, shape (..., 8).
        """
        if self._left:
            self._fill(np.unique(flat[~self.filled.take(flat)]))
        found: NDArray[np.float32] = self.entries.take(flat, axis=0)
        return found

    def _fill(self, flat: IntArray) -> None:
        for start in range(0, len(flat), _BATCH):
            batch = flat[start : start + _BATCH]
            answer = self.simulator.predict(self._settings(batch))
            for column, name in enumerate(PREDICTION_NAMES):
                self.entries[batch, column] = getattr(answer, name)
        self.filled[flat] = True
        self._left -= len(flat)

    def _settings(self, flat: IntArray) -> FloatArray:
        shape = (len(self.rules), len(self.threads), len(self.calls))
        row, thread, call = np.unravel_index(flat, shape)
        return np.column_stack([self.rules[row], self.threads[thread], self.calls[call]])


def response_table(simulator: Simulator, scenario: Scenario) -> ResponseTable:
    """The table of a simulator and a scenario, made on first use and then shared."""
    grid = repr((scenario.rules, scenario.actions))
    if grid not in simulator.tables:
        simulator.tables[grid] = ResponseTable(simulator, scenario)
    table: ResponseTable = simulator.tables[grid]
    return table

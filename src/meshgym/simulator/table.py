"""A scenario's finite grid of rules and actions, answered once by a simulator and then read like a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario
from meshgym.simulator.artefact import PREDICTION_NAMES, Prediction, Simulator

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Entries up to which a table is filled at once; a larger one is filled where it is read.
DENSE_ENTRIES = 4_000_000
#: Entries that fit into memory: 21 bytes each.
MAX_ENTRIES = 100_000_000
_BATCH = 65_536


class ResponseTable:
    """Predictions for every combination of a scenario's rules and actions.

    Args:
        simulator: what answers; an entry equals its prediction to the last bit.
        scenario: its rule ranges and its actions span the grid.

    Attributes:
        rules: all combinations of rules, shape (rows, 7), in C order of the ranges (the last rule
            changes fastest).
        threads, calls: the actions, shape (n_threads,) and (n_calls,).
        dense: whether every entry is filled from the start.
        columns: the predictions by name, each of shape (rows * n_threads * n_calls,), flat index
            ``(rule_row * n_threads + thread_choice) * n_calls + call_choice``. Where not ``dense``,
            only entries that :meth:`lookup` was asked for are filled.

    Raises:
        InvalidValueError: the grid is too large.
    """

    def __init__(self, simulator: Simulator, scenario: Scenario) -> None:
        self.simulator = simulator
        axes = [span.values for span in scenario.rules.values()]
        self.threads = np.array(scenario.actions["threads"], dtype=np.float64)
        self.calls = np.array(scenario.actions["calls"], dtype=np.float64)
        size = int(np.prod([len(axis) for axis in axes])) * len(self.threads) * len(self.calls)
        if size > MAX_ENTRIES:
            raise InvalidValueError(
                f"number of rules and actions of scenario {scenario.name}",
                size,
                f"at most {MAX_ENTRIES}",
                "Give its ranges larger steps: [low, high, step].",
            )
        self.rules: FloatArray = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        self.columns: dict[str, NDArray[np.float32] | NDArray[np.bool_]] = {
            name: np.zeros(size, dtype=bool if name == "outside" else np.float32) for name in PREDICTION_NAMES
        }
        self.dense = size <= DENSE_ENTRIES
        self._filled = np.zeros(size, dtype=bool)
        if self.dense:
            self._fill(np.arange(size))

    def index(self, rule_rows: IntArray, thread_choice: IntArray, call_choice: IntArray) -> IntArray:
        """Flat indices into :attr:`columns`; the arguments are those of :meth:`lookup`."""
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
        flat = self.index(rule_rows, thread_choice, call_choice)
        if not self.dense:
            self._fill(np.unique(flat[~self._filled[flat]]))
        return Prediction(**{name: column[flat] for name, column in self.columns.items()})  # type: ignore[arg-type]

    def _fill(self, flat: IntArray) -> None:
        for start in range(0, len(flat), _BATCH):
            batch = flat[start : start + _BATCH]
            answer = self.simulator.predict(self._settings(batch))
            for name, column in self.columns.items():
                column[batch] = getattr(answer, name)
        self._filled[flat] = True

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

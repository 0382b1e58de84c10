"""Rows of numbers that are computed when they are first read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from meshgym.simulator.shared import shared_memory

IntArray = NDArray[np.int64]

#: Rows that are computed together.
_BATCH = 65_536
#: From so many bytes, processes share them.
_SHARED_FROM = 64 * 2**20
#: How often all rows that were asked for must have been there, before it's counted whether all are.
_RECOUNT = 1000


class LazyRows:
    """Rows of float32 numbers.

    Args:
        size: how many rows.
        width: numbers in a row.
        name: says what the rows are, for processes to share large ones: with the same name, they must be the same.
        compute: returns the columns of rows, each of shape (n,), by their numbers, shape (n,). Fewer columns than
            ``width`` leave the last ones 0.

    Attributes:
        entries: shape (size, width); rows that aren't filled are 0.
        filled: which rows are computed, shape (size,).
    """

    def __init__(
        self, size: int, width: int, name: str, compute: Callable[[IntArray], Sequence[NDArray[np.floating]]]
    ) -> None:
        self._compute = compute
        length = size * width * 4
        memory = shared_memory(_key(name), length + size) if length >= _SHARED_FROM else None
        if memory is None:
            self.entries = np.zeros((size, width), dtype=np.float32)
            self.filled = np.zeros(size, dtype=bool)
        else:
            self.entries = np.frombuffer(memory, np.float32, size * width).reshape(size, width)
            self.filled = np.frombuffer(memory, bool, size, length)
        self._left, self._found = size, 0

    def read(self, rows: IntArray) -> NDArray[np.float32]:
        """Return copies of rows; those not computed yet are computed first.

        Args:
            rows: their numbers, any shape.

        Returns:
            Shape (..., width).
        """
        self.fill(rows)
        found: NDArray[np.float32] = self.entries.take(rows, axis=0)
        return found

    def fill(self, rows: IntArray) -> None:
        """Compute those of the rows that aren't yet."""
        if not self._left:
            return
        rows = np.unique(rows[~self.filled.take(rows)])
        self._found = 0 if len(rows) else self._found + 1
        if self._found == _RECOUNT:  # other processes may have computed the rest
            self._left, self._found = int(np.count_nonzero(~self.filled)), 0
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            for number, column in enumerate(self._compute(batch)):
                self.entries[batch, number] = column
        self.filled[rows] = True  # last, so that nobody reads a row before it's whole
        self._left -= len(rows)


def _key(name: str) -> str:
    """Return a file's name for rows: with another NumPy, their last bits may be others."""
    return hashlib.sha256(f"{name} {np.__version__}".encode()).hexdigest()

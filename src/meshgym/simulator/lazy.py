"""Rows of numbers that are computed when they are first read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

#: Rows that are computed together.
_BATCH = 65_536


class LazyRows:
    """Rows of float32 numbers.

    Args:
        size: how many rows.
        width: numbers in a row.
        compute: returns the columns of rows, each of shape (n,), by their numbers, shape (n,). Fewer columns than
            ``width`` leave the last ones 0.

    Attributes:
        entries: shape (size, width); rows that aren't filled are 0.
        filled: which rows are computed, shape (size,).
    """

    def __init__(self, size: int, width: int, compute: Callable[[IntArray], Sequence[NDArray[np.floating]]]) -> None:
        self._compute = compute
        self.entries = np.zeros((size, width), dtype=np.float32)
        self.filled = np.zeros(size, dtype=bool)
        self._left = size

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
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            for number, column in enumerate(self._compute(batch)):
                self.entries[batch, number] = column
        self.filled[rows] = True
        self._left -= len(rows)

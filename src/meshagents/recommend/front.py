"""The Pareto front: what can't be better in one respect without being worse in another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_BATCH = 4096


def front(costs: FloatArray) -> NDArray[np.int64]:
    """Return the rows that no other row undercuts in one column without exceeding it in another.

    Of equal rows the first is returned.

    Args:
        costs: less is better, shape (n, columns); without NaN.

    Returns:
        Indices, ascending by the first column.
    """
    order = np.lexsort(costs.T[::-1])  # a row is undercut only by rows before it
    kept = np.empty(0, np.int64)
    for start in range(0, len(order), _BATCH):
        new = order[start : start + _BATCH]
        new = new[~_undercut(costs[new], costs[kept])]
        for row in new:
            if not _undercut(costs[[row]], costs[kept])[0]:
                kept = np.append(kept, row)
    return kept


def _undercut(rows: FloatArray, others: FloatArray) -> NDArray[np.bool_]:
    """Return whether one of ``others`` is as good as each row everywhere, shape (n,)."""
    below: Any = others[None] <= rows[:, None]
    found: NDArray[np.bool_] = below.all(axis=2).any(axis=1)
    return found


def spread_over(costs: FloatArray, most: int) -> NDArray[np.int64]:
    """Choose at most so many rows of a front, from end to end, at about equal distances in the first column."""
    if len(costs) <= most:
        return np.arange(len(costs))
    first = costs[:, 0]
    wanted = np.linspace(first.min(), first.max(), most)
    return np.unique(np.abs(first[None] - wanted[:, None]).argmin(axis=1))

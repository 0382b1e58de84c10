"""How much more could be predicted if it were known when a run was taken, and after which runs.

Nothing, where every run starts afresh. Where ejections outlast a run, or the machine drifts, part of what a
simulator cannot predict from the setting is not noise, but the order of the collection.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.multioutput import MultiOutputRegressor

from meshgym.simulator.training import Measurements

FloatArray = NDArray[np.float64]

#: How many runs back are looked at. Chosen, like the trees' leaves, on folds of training parts.
RUNS_BEFORE = 3


def correct_by_order(
    measured: Measurements, predicted: FloatArray, train: NDArray[np.int64], seed: int = 0
) -> FloatArray:
    """Predictions, corrected by what the order of the runs tells.

    Extra-trees learn what is left of the training rows (measured less predicted) from the setting, the prediction,
    the number of the row, and what was measured, and left, of the runs before. So each row is predicted as
    if it were taken next: what came before it is known, whichever part it is in.

    Args:
        measured: a whole trace set in the order it was taken, n rows.
        predicted: of every row by a model that has not learned from it, shape (n, 2).
        train: numbers of the rows to learn from.
        seed: of the trees.

    Returns:
        Shape (n, 2).
    """
    targets = measured.targets[:, :2]
    left = targets - predicted
    known = np.hstack([targets, left])
    before = [_shifted(known, runs) for runs in range(1, RUNS_BEFORE + 1)]
    inputs = np.column_stack([measured.settings, predicted, np.arange(len(left)), *before])
    trees = ExtraTreesRegressor(200, min_samples_leaf=5, max_features=0.7, random_state=seed)
    corrected: FloatArray = predicted + MultiOutputRegressor(trees).fit(inputs[train], left[train]).predict(inputs)
    return corrected


def _shifted(columns: FloatArray, rows: int) -> FloatArray:
    """Each row's place taken by the one so many rows before, by zeros where there is none."""
    shifted = np.zeros_like(columns)
    shifted[rows:] = columns[:-rows]
    return shifted

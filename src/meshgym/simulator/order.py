"""How much better a prediction could be if it knew when a run was made, and after which runs.

If every run starts afresh, no better. If ejections outlast a run, or the machine drifts, part of what a simulator can't
predict from the setting isn't noise but the order of the collection.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.multioutput import MultiOutputRegressor

from meshgym.simulator.arrays import TraceArrays

FloatArray = NDArray[np.float64]

#: How many earlier runs are looked at. Chosen, like the size of the trees' leaves, on folds of training parts.
RUNS_BEFORE = 3


def correct_by_order(
    measured: TraceArrays, predicted: FloatArray, train: NDArray[np.int64], seed: int = 0
) -> FloatArray:
    """Return predictions corrected by the order of the runs.

    Extra-trees learn the residuals of the training rows (measured minus predicted) from the setting, the prediction,
    the number of the row, and the outcomes and residuals of the runs before. So each row is predicted as if it were
    the next run: everything before it is known, whichever part it is in.

    Args:
        measured: a whole trace set in the order of collection, n rows.
        predicted: qps and p503 of every row, by a model that hasn't learned from it, shape (n, 2).
        train: numbers of the rows to learn from.
        seed: seed of the trees.

    Returns:
        qps and p503, shape (n, 2).
    """
    targets = measured.targets[:, :2]
    residuals = targets - predicted
    known = np.hstack([targets, residuals])
    padded = np.pad(known, ((RUNS_BEFORE, 0), (0, 0)))  # zeros before the first run
    before = [padded[RUNS_BEFORE - runs :][: len(known)] for runs in range(1, RUNS_BEFORE + 1)]
    inputs = np.column_stack([measured.settings, predicted, np.arange(len(known)), *before])
    trees = MultiOutputRegressor(ExtraTreesRegressor(200, min_samples_leaf=5, max_features=0.7, random_state=seed))
    corrected: FloatArray = predicted + trees.fit(inputs[train], residuals[train]).predict(inputs)
    return corrected

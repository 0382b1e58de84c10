"""Figure 7: reward over random's, epoch by epoch, of every configuration and scenario."""

from __future__ import annotations

import numpy as np
import pandas as pd

from meshagents.experiments.jobs import CELL, groups
from meshagents.statistics import mean_interval
from meshagents.training.loop import rolling_mean


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the curves.

    Args:
        frame: the records of Table 5, see :func:`meshagents.experiments.table5.run`.

    Returns:
        One row per ``configuration``, ``services``, ``scenario`` and ``epoch``: ``ratio``, the mean over seeds of the
        ratio's rolling mean, as 95 % ``Interval``.
    """
    rows = []
    for cell, trainings in groups(frame, CELL):
        curves = np.stack([rolling_mean(np.array(curve)) for curve in trainings["curve"]])
        rows += [(*cell, epoch, mean_interval(values)) for epoch, values in enumerate(curves.T, start=1)]
    return pd.DataFrame(rows, columns=[*CELL, "epoch", "ratio"])

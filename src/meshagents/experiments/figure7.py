"""Figure 7: the reward over random's, epoch by epoch, of every configuration and scenario."""

from __future__ import annotations

import numpy as np
import pandas as pd

from meshagents.statistics import mean_interval
from meshagents.training.loop import rolling_mean


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of the records of Table 5 (see :func:`meshagents.experiments.table5.run`).

    Returns:
        One row for each ``configuration``, number of ``services``, ``scenario`` and ``epoch``: ``ratio``, the rolling
        ratio's mean over seeds with its 95 % ``Interval``.
    """
    keys = ["configuration", "services", "scenario"]
    rows = [
        (*key, epoch, mean_interval(values))
        for key, part in frame.groupby(keys, sort=False)
        for epoch, values in enumerate(np.stack([rolling_mean(np.array(one)) for one in part["curve"]]).T, start=1)
    ]
    return pd.DataFrame(rows, columns=[*keys, "epoch", "ratio"])

"""Figure 7: reward over random's, epoch by epoch, of every configuration and scenario."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from meshagents.statistics import mean_interval
from meshagents.training.loop import rolling_mean


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """The curves.

    Args:
        frame: the records of Table 5, see :func:`meshagents.experiments.table5.run`.

    Returns:
        One row for each ``label``, ``scenario`` and ``epoch``: the rolling ratio's mean over seeds and its 95 %
        interval, ``ratio``, ``low`` and ``high``.
    """
    rows = []
    for (label, scenario), runs in frame.groupby(["label", "scenario"], sort=False):
        curves = np.stack([rolling_mean(np.array(curve)) for curve in runs["curve"]])
        for epoch, values in enumerate(curves.T, start=1):
            interval = mean_interval(values)
            rows.append((label, scenario, epoch, interval.estimate, interval.low, interval.high))
    return pd.DataFrame(rows, columns=["label", "scenario", "epoch", "ratio", "low", "high"])


def plot(curves: pd.DataFrame) -> Figure:
    """A column a scenario; one service above, several below, as far as there are both.

    Args:
        curves: what :func:`score` returned.
    """
    scenarios = list(dict.fromkeys(curves["scenario"]))
    parts = [part for _, part in curves.groupby(curves["label"].str.contains(r"\*"))]
    figure = Figure(figsize=(3.2 * len(scenarios), 3 * len(parts)))
    grid = figure.subplots(len(parts), len(scenarios), squeeze=False, sharex=True, sharey="col")
    for axes_row, part in zip(grid, parts, strict=True):
        for axes, scenario in zip(axes_row, scenarios, strict=True):
            for label, curve in part[part["scenario"] == scenario].groupby("label", sort=False):
                (line,) = axes.plot(curve["epoch"], curve["ratio"], linewidth=1.2, label=label)
                if np.isfinite(curve["low"]).all():
                    axes.fill_between(curve["epoch"], curve["low"], curve["high"], color=line.get_color(), alpha=0.2)
            axes.set(title=scenario, xlabel="epoch")
            if axes.lines:
                axes.legend(frameon=False, fontsize="x-small")
        axes_row[0].set_ylabel("reward / random's reward")
    figure.tight_layout()
    return figure

"""Figures: learning curves, predicted against measured, ratios, importances, the reward over both load fields."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from meshagents.experiments.jobs import label
from meshagents.training.loop import rolling_mean
from meshagents.validation.decisions import BASELINE

FloatArray = NDArray[np.float64]
_UNITS = {"qps": "requests per second", "p503": "share of 503s"}


def data_uri(figure: Figure) -> str:
    """Return a figure as a data URI for an HTML page; the same figure always gives the same one."""
    with rc_context({"svg.hashsalt": "meshgym"}):
        FigureCanvasAgg(figure)
        drawn = BytesIO()
        figure.savefig(drawn, bbox_inches="tight", format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"


def learning_curve(ratio: FloatArray) -> Figure:
    """Draw the reward over the random baseline's by epoch, and its rolling mean: the paper's metric (Fig. 7).

    Args:
        ratio: of one task, shape (epochs,).
    """
    figure = Figure(figsize=(6, 3.5))
    axes = figure.subplots()
    epochs = np.arange(1, len(ratio) + 1)
    axes.plot(epochs, ratio, linewidth=0.6, alpha=0.5, label="each epoch")
    axes.plot(epochs, rolling_mean(ratio), linewidth=1.8, label="rolling mean over 25 epochs")
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":", label="random")
    axes.set(xlabel="epoch", ylabel="reward / random's reward", title="Learning on the simulator")
    axes.legend(frameon=False)
    return figure


def figure7(curves: pd.DataFrame) -> Figure:
    """Draw a column per scenario: services alone above, together below, if there are both.

    Args:
        curves: what :func:`meshagents.experiments.figure7.score` returned, each interval as three columns.
    """
    scenarios = list(dict.fromkeys(curves["scenario"]))
    parts = [part for _, part in curves.groupby(curves["services"] > 1)]
    figure = Figure(figsize=(3.2 * len(scenarios), 3 * len(parts)))
    grid = figure.subplots(len(parts), len(scenarios), squeeze=False, sharex=True, sharey="col")
    for axes_row, part in zip(grid, parts, strict=True):
        for axes, scenario in zip(axes_row, scenarios, strict=True):
            shown = part[part["scenario"] == scenario].groupby(["configuration", "services"], sort=False)
            for row, curve in shown:
                (line,) = axes.plot(curve["epoch"], curve["ratio"], linewidth=1.2, label=label(*row))
                low, high = curve["ratio_low"], curve["ratio_high"]
                if np.isfinite(low).all():
                    axes.fill_between(curve["epoch"], low, high, color=line.get_color(), alpha=0.2)
            axes.set(title=scenario, xlabel="epoch")
            if axes.lines:
                axes.legend(frameon=False, fontsize="x-small")
        axes_row[0].set_ylabel("reward / random's reward")
    figure.tight_layout()
    return figure


def predicted_against_measured(decisions: pd.DataFrame) -> Figure:
    """Draw what was predicted and what was measured, a point per decision, a color per policy.

    Args:
        decisions: see :func:`meshagents.validation.validate.compare`; with a column ``kind``, a color per kind.
    """
    figure = Figure(figsize=(8, 3.8))
    groups = decisions.groupby("kind" if "kind" in decisions else "policy", sort=False)
    for axes, (name, unit) in zip(figure.subplots(1, len(_UNITS)), _UNITS.items(), strict=True):
        for group, rows in groups:
            axes.scatter(rows[f"{name}_sim"], rows[f"{name}_live"], s=14, alpha=0.7, label=group)
        top = decisions[[f"{name}_sim", f"{name}_live"]].to_numpy().max() * 1.05
        axes.plot([0, top], [0, top], color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel=f"predicted ({unit})", ylabel=f"measured ({unit})", title=name)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def ratios(table: pd.DataFrame) -> Figure:
    """Draw the reward over random's of each policy of a scenario, measured with its 95 % interval and simulated.

    Args:
        table: columns ``policy``, ``live_ratio``, ``live_ratio_low``, ``live_ratio_high`` and ``sim_ratio``.
    """
    table = table[table["policy"] != BASELINE].iloc[::-1].replace([np.inf, -np.inf], np.nan)
    figure = Figure(figsize=(7, 0.9 + 0.32 * len(table)))
    axes = figure.subplots()
    rows = np.arange(len(table))
    below, above = table["live_ratio"] - table["live_ratio_low"], table["live_ratio_high"] - table["live_ratio"]
    axes.errorbar(table["live_ratio"], rows, xerr=[below, above], fmt="o", capsize=3, label="measured, 95 % interval")
    axes.plot(table["sim_ratio"], rows, linestyle="", marker="D", fillstyle="none", label="simulated")
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":", label="random")
    axes.set_yticks(rows, table["policy"])
    axes.set(xlabel="reward / random's reward", ylim=(-0.6, len(table) - 0.4))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def importances(table: pd.DataFrame) -> Figure:
    """Draw how much of the gap between simulated and measured each input explains, see ``gap.blame``.

    Args:
        table: columns ``scenario``, ``output``, ``input``, ``importance`` and ``explained``.
    """
    scenarios, outputs = (list(dict.fromkeys(table[name])) for name in ("scenario", "output"))
    figure = Figure(figsize=(8, 2.2 * len(scenarios)))
    grid = figure.subplots(len(scenarios), len(outputs), squeeze=False, sharey="row")
    for axes_row, scenario in zip(grid, scenarios, strict=True):
        for axes, output in zip(axes_row, outputs, strict=True):
            part = table[(table["scenario"] == scenario) & (table["output"] == output)].iloc[::-1]
            axes.barh(part["input"], part["importance"])
            explained = f"{part['explained'].max():.0%}" if len(part) else "none"
            axes.set_title(f"{scenario}, {output}: {explained} explained", fontsize="medium")
            axes.set_xlim(left=0)
    figure.tight_layout()
    return figure


def reward_surface(
    rewards: FloatArray, loads: Mapping[str, Sequence[Any]], chosen: Sequence[int], title: str
) -> Figure:
    """Draw the reward of every load under one set of rules, and mark the chosen one.

    Args:
        rewards: shape (paces, calls).
        loads: names and values of the two axes: the pace, then the calls.
        chosen: indices of the load to mark.
        title: title of the figure.
    """
    figure = Figure(figsize=(7, 3.5))
    axes = figure.subplots()
    image = axes.imshow(rewards, origin="lower", aspect="auto", cmap="viridis")
    (pace, paces), (_, calls) = loads.items()
    axes.set_xticks(range(len(calls)), calls, rotation=90)
    axes.set_yticks(range(len(paces)), paces)
    axes.plot(chosen[1], chosen[0], marker="o", markersize=12, fillstyle="none", color="red", markeredgewidth=2)
    axes.set(xlabel="calls", ylabel=pace, title=title)
    figure.colorbar(image, label="reward (1/s)")
    return figure

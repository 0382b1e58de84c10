"""Figures: learning curves, predicted against measured, the reward over threads and calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from meshagents.training import History, rolling_mean

FloatArray = NDArray[np.float64]
_UNITS = {"qps": "answers a second", "p503": "share of 503s"}


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    return path


def learning_curve(history: History) -> Figure:
    """Reward over the random baseline's by epoch, and its rolling mean: the paper's metric (Fig. 7)."""
    figure = Figure(figsize=(6, 3.5))
    axes = figure.subplots()
    epochs = np.arange(1, len(history) + 1)
    axes.plot(epochs, history.ratio, linewidth=0.6, alpha=0.5, label="each epoch")
    axes.plot(epochs, rolling_mean(history.ratio), linewidth=1.8, label="rolling mean over 25 epochs")
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":", label="random")
    axes.set(xlabel="epoch", ylabel="reward / random's reward", title="Learning on the simulator")
    axes.legend(frameon=False)
    return figure


def predicted_against_measured(replayed: pd.DataFrame) -> Figure:
    """What the simulator said and what the mesh answered, run by run (see ``validation.replay``)."""
    figure = Figure(figsize=(8, 3.8))
    for axes, (name, unit) in zip(figure.subplots(1, len(_UNITS)), _UNITS.items(), strict=True):
        for policy, rows in replayed.groupby("policy", sort=False):
            axes.scatter(rows[f"{name}_sim"], rows[f"{name}_live"], s=14, alpha=0.7, label=policy)
        top = replayed[[f"{name}_sim", f"{name}_live"]].to_numpy().max() * 1.05
        axes.plot([0, top], [0, top], color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel=f"predicted ({unit})", ylabel=f"measured ({unit})", title=name)
    axes.legend(frameon=False)
    return figure


def reward_surface(
    rewards: FloatArray, threads: Sequence[Any], calls: Sequence[Any], chosen: tuple[int, int], title: str
) -> Figure:
    """The reward of every load under one set of rules, the chosen one marked.

    Args:
        rewards: shape (threads, calls).
        threads, calls: the values of the two axes.
        chosen: indices of the load to mark.
        title: of the figure.
    """
    figure = Figure(figsize=(7, 3.5))
    axes = figure.subplots()
    image = axes.imshow(rewards, origin="lower", aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(calls)), calls, rotation=90)
    axes.set_yticks(range(len(threads)), threads)
    axes.plot(chosen[1], chosen[0], marker="o", markersize=12, fillstyle="none", color="red", markeredgewidth=2)
    axes.set(xlabel="calls", ylabel="threads", title=title)
    figure.colorbar(image, label="reward (1/s)")
    return figure

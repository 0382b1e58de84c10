"""Figures that show how well a simulator predicts."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from meshgym.errors import MissingDependencyError
from meshgym.fields import OUTCOMES, settings_among

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingDependencyError("matplotlib", "drawing figures", "simulator") from error

_COLUMNS = 3


def _outcomes(test: pd.DataFrame) -> dict[str, str]:
    """Return the outcomes in a test part, and the unit to write on their axes."""
    return {name: field.unit for name, field in OUTCOMES.items() if f"{name}_predicted" in test}


def to_png(figure: Figure) -> bytes:
    """Render a figure."""
    rendered = io.BytesIO()
    figure.savefig(rendered, format="png", dpi=150, bbox_inches="tight")
    return rendered.getvalue()


def predicted_against_measured(test: pd.DataFrame, title: str) -> Figure:
    """Draw each held-out run as a point; a perfect prediction lies on the diagonal."""
    outcomes = _outcomes(test)
    rows = -(-len(outcomes) // _COLUMNS)
    figure = Figure(figsize=(4.5 * min(len(outcomes), _COLUMNS), 4 * rows))
    for number, (name, unit) in enumerate(outcomes.items(), start=1):
        axes = figure.add_subplot(rows, min(len(outcomes), _COLUMNS), number)
        axes.scatter(test[f"{name}_predicted"], test[f"{name}_measured"], s=4, alpha=0.3, linewidths=0)
        top = np.nanmax(test[[f"{name}_predicted", f"{name}_measured"]].to_numpy())
        axes.plot([0, top], [0, top], color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel=f"predicted ({unit})", ylabel=f"measured ({unit})", title=f"{title}: {name}")
    figure.tight_layout()
    return figure


def residuals_by_setting(test: pd.DataFrame, title: str) -> Figure:
    """Draw quartiles of the residuals (measured minus predicted) over each field that varies."""
    varying = [name for name in settings_among(test) if test[name].nunique() > 1]
    outcomes = _outcomes(test)
    figure = Figure(figsize=(3 * len(varying), 2.5 * len(outcomes)))
    rows = figure.subplots(len(outcomes), len(varying), squeeze=False)
    for row, (name, unit) in zip(rows, outcomes.items(), strict=True):
        residual = test[f"{name}_measured"] - test[f"{name}_predicted"]
        for axes, setting in zip(row, varying, strict=True):
            levels = test[setting] if test[setting].nunique() <= 20 else _tenths(test[setting])
            low, middle, high = (residual.groupby(levels).quantile(share) for share in (0.25, 0.5, 0.75))
            axes.fill_between(middle.index, low, high, alpha=0.3, linewidth=0)
            axes.plot(middle.index, middle, marker=".")
            axes.axhline(0, color="black", linewidth=0.8, linestyle=":")
            axes.set(xlabel=setting, ylabel=f"{name} ({unit})" if setting == varying[0] else "")
    figure.suptitle(f"{title}: measured minus predicted, median and quartiles")
    figure.tight_layout()
    return figure


def _tenths(values: pd.Series[float]) -> pd.Series[float]:
    """Replace each value by the middle of its tenth of the range."""
    edges = np.linspace(values.min(), values.max(), 11)
    middles = (edges[:-1] + edges[1:]) / 2
    return pd.Series(middles[np.clip(np.digitize(values, edges) - 1, 0, 9)], index=values.index)

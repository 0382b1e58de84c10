"""Estimates with 95 % intervals, the one place where uncertainty is computed; and tables of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval: 95 % unless stated otherwise."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{short(self.estimate)} [{short(self.low)}, {short(self.high)}]"


def short(value: float) -> str:
    """Return three significant digits, or whole thousands in full."""
    return f"{value:.0f}" if 999.5 <= abs(value) < 1e6 else f"{value:.3g}"


#: Where there is nothing to estimate.
NO_INTERVAL = Interval(math.nan, math.nan, math.nan)


def spread(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with each column of intervals as three: NAME, NAME_low and NAME_high."""
    columns: dict[str, Any] = {}
    for name, values in table.items():
        columns[str(name)] = values
        if len(values) and isinstance(values.iloc[0], Interval):
            ends = {"": "estimate", "_low": "low", "_high": "high"}
            columns |= {f"{name}{end}": [getattr(value, part) for value in values] for end, part in ends.items()}
    return pd.DataFrame(columns, index=table.index)


def markdown(table: pd.DataFrame) -> str:
    """Return a table of texts as Markdown that also reads well in a terminal."""
    return str(table.to_markdown(index=False, tablefmt="github", disable_numparse=True))


def mean_interval(values: Any) -> Interval:
    """Return the mean with its 95 % t-interval; a single value has no bounds.

    Args:
        values: shape (n,), n at least 1.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 1:
        return Interval(float(values[0]), -math.inf, math.inf)
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def share_interval(hits: int, count: int) -> Interval:
    """Return the share of ``hits`` among ``count`` trials with its 95 % interval (Wilson's); at least one trial."""
    z = float(stats.norm.ppf(0.975))
    share, room = hits / count, z * z / count
    middle = (share + room / 2) / (1 + room)
    half = z * math.sqrt(share * (1 - share) / count + room / (4 * count)) / (1 + room)
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0))


def ratio_interval(above: Any, below: Any, seed: int = 0) -> Interval:
    """Return the ratio of two means over the same contexts, with its 95 % bootstrap interval (pairs resampled).

    It is infinite where the lower mean is 0, in a resample too; ``scipy.stats.bootstrap`` refuses such resamples.

    Args:
        above, below: shape (n,).
        seed: seed of the resampling.
    """
    above, below = (np.asarray(values, dtype=np.float64) for values in (above, below))
    drawn = np.random.default_rng(seed).integers(len(above), size=(_RESAMPLES, len(above)))
    resampled = _quotient(above[drawn].mean(axis=1), below[drawn].mean(axis=1))
    low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")  # adds up nothing, so inf does no harm
    return Interval(float(_quotient(above.mean(), below.mean())), float(low), float(high))


def _quotient(above: Any, below: Any) -> FloatArray:
    """Return ``above / below``, infinite where ``below`` is 0."""
    quotient: FloatArray = np.divide(above, below, out=np.full(np.shape(above), np.inf), where=below != 0)
    return quotient


def interquartile_mean(scores: FloatArray) -> FloatArray:
    """Return the mean of the middle half, along the last axis."""
    mean: FloatArray = stats.trim_mean(scores, 0.25, axis=-1)
    return mean


def optimality_gap(scores: FloatArray) -> FloatArray:
    """Return how far scores fall short of 1 on average, along the last axis; what lies above 1 makes up for nothing."""
    gap: FloatArray = (1 - np.minimum(scores, 1)).mean(axis=-1)
    return gap


def aggregate_interval(scores: Any, statistic: Callable[[FloatArray], FloatArray], seed: int = 0) -> Interval:
    """Return a statistic over all seeds and tasks, with its 95 % interval by rliable's stratified bootstrap.

    Each resample draws seeds anew for every task (Agarwal et al. 2021). rliable itself isn't used: it would bring arch
    (below 8), seaborn and absl-py for these few lines.

    Args:
        scores: shape (seeds, tasks).
        statistic: maps shape (..., n) to (...).
        seed: seed of the resampling.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) == 1:
        return Interval(float(statistic(scores.ravel())), -math.inf, math.inf)
    drawn = np.random.default_rng(seed).integers(len(scores), size=(_RESAMPLES, *scores.shape))
    resampled = statistic(np.take_along_axis(scores[None], drawn, axis=1).reshape(_RESAMPLES, -1))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(float(statistic(scores.ravel())), float(low), float(high))


@dataclass(frozen=True)
class Effect:
    """How far one of two paired samples lies above the other.

    Attributes:
        difference: its mean, with a 95 % t-interval.
        size: Cohen's d of paired samples: the mean difference in standard deviations of the differences. Infinite
            where all differences are equal, 0 where they all are 0.
        pairs: how many there are.
    """

    difference: Interval
    size: float
    pairs: int

    @property
    def verdict(self) -> str:
        """``"above"`` or ``"below"`` where the interval excludes 0, else ``"undecided"``."""
        if self.difference.low > 0:
            return "above"
        return "below" if self.difference.high < 0 else "undecided"


def paired_effect(above: Any, below: Any) -> Effect:
    """Compare two samples that belong together pair by pair.

    Args:
        above, below: shape (n,).
    """
    gaps = np.asarray(above, dtype=np.float64) - np.asarray(below, dtype=np.float64)
    deviation = float(gaps.std(ddof=1)) if len(gaps) > 1 else 0.0
    mean = float(gaps.mean())
    size = mean / deviation if deviation else math.copysign(math.inf, mean) if mean else 0.0
    return Effect(mean_interval(gaps), size, len(gaps))

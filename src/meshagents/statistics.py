"""Estimates with 95 % intervals: the one place where uncertainty is computed."""

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
_ENDS = [0.025, 0.975]


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, of 95 % unless said otherwise."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{short(self.estimate)} [{short(self.low)}, {short(self.high)}]"


def short(value: float) -> str:
    """Format a number with three significant digits, or in full from 1000 up to a million."""
    return f"{value:.0f}" if 999.5 <= abs(value) < 1e6 else f"{value:.3g}"


#: Stands for an estimate that nothing was measured for.
NO_INTERVAL = Interval(math.nan, math.nan, math.nan)


def flatten(table: pd.DataFrame) -> pd.DataFrame:
    """Spread each column of intervals over three, as files hold them: ``NAME``, ``NAME_low``, ``NAME_high``."""
    columns: dict[str, Any] = {}
    for name, values in table.items():
        if len(values) and isinstance(values.iloc[0], Interval):
            columns[str(name)] = [value.estimate for value in values]
            columns |= {f"{name}_{end}": [getattr(value, end) for value in values] for end in ("low", "high")}
        else:
            columns[str(name)] = values.to_numpy()
    return pd.DataFrame(columns)


def mean_interval(values: Any) -> Interval:
    """Return the mean with its 95 % t-interval, which is infinite for a single value.

    Args:
        values: shape (n,), n at least 1.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 1:
        return Interval(float(values[0]), -math.inf, math.inf)
    half = stats.t.ppf(_ENDS[1], len(values) - 1) * stats.sem(values)
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def ratio_interval(above: Any, below: Any, seed: int = 0) -> Interval:
    """Return the ratio of two means over the same contexts with its 95 % bootstrap interval (pairs resampled).

    The ratio is infinite if the lower mean is 0; so are the ends, if it is 0 in a resample.

    Args:
        above, below: shape (n,).
        seed: seed of the resampling.
    """
    above, below = (np.asarray(values, dtype=np.float64) for values in (above, below))
    drawn = np.random.default_rng(seed).integers(len(above), size=(_RESAMPLES, len(above)))
    resampled = _quotient(above[drawn].mean(axis=1), below[drawn].mean(axis=1))
    low, high = np.quantile(resampled, _ENDS, method="nearest")  # no sums: there may be infinite ones
    return Interval(float(_quotient(above.mean(), below.mean())), float(low), float(high))


def _quotient(above: Any, below: Any) -> FloatArray:
    """Return ``above / below``, infinite where ``below`` is 0."""
    quotient: FloatArray = np.divide(above, below, out=np.full(np.shape(above), np.inf), where=below != 0)
    return quotient


def interquartile_mean(scores: FloatArray) -> float:
    """Return the mean of the middle half of all scores (Agarwal et al. 2021)."""
    return float(stats.trim_mean(scores, 0.25, axis=None))


def optimality_gap(scores: FloatArray) -> float:
    """Return by how much scores miss 1, on average; a score above 1 counts as 1 (Agarwal et al. 2021)."""
    return float(1 - np.minimum(scores, 1).mean())


def aggregate_interval(scores: Any, statistic: Callable[[FloatArray], float], seed: int = 0) -> Interval:
    """Return a statistic over seeds and tasks with its 95 % interval: the stratified bootstrap of ``rliable``.

    That package pins old versions of SciPy and NumPy, so its method is here: seeds are resampled for each task alone.

    Args:
        scores: shape (seeds, tasks).
        statistic: maps an array of that shape to a number, such as :func:`interquartile_mean`.
        seed: seed of the resampling.
    """
    scores = np.asarray(scores, dtype=np.float64)
    rng = np.random.default_rng(seed)
    drawn = [np.take_along_axis(scores, rng.integers(len(scores), size=scores.shape), 0) for _ in range(2000)]
    low, high = np.quantile([statistic(one) for one in drawn], _ENDS)
    return Interval(statistic(scores), float(low), float(high))


@dataclass(frozen=True)
class Effect:
    """How much one of two paired samples lies above the other.

    Attributes:
        difference: mean difference, with a 95 % t-interval.
        size: Cohen's d of paired samples: the mean difference in standard deviations of the differences. It is
            infinite if all differences are equal, and 0 if all are 0.
        pairs: number of pairs.
    """

    difference: Interval
    size: float
    pairs: int

    @property
    def verdict(self) -> str:
        """``"above"`` or ``"below"`` if the interval excludes 0, else ``"undecided"``."""
        if self.difference.low > 0:
            return "above"
        return "below" if self.difference.high < 0 else "undecided"


def paired_effect(above: Any, below: Any) -> Effect:
    """Return how much ``above`` lies above ``below``, both of shape (n,), pair by pair."""
    gaps = np.asarray(above, dtype=np.float64) - np.asarray(below, dtype=np.float64)
    spread = float(gaps.std(ddof=1)) if len(gaps) > 1 else 0.0
    mean = float(gaps.mean())
    size = mean / spread if spread else math.copysign(math.inf, mean) if mean else 0.0
    return Effect(mean_interval(gaps), size, len(gaps))

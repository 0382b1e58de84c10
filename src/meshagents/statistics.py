"""Estimates with 95 % intervals: the one place where uncertainty is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, of 95 % where nothing else is said."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{short(self.estimate)} [{short(self.low)}, {short(self.high)}]"


def short(value: float) -> str:
    """Three significant digits, or whole thousands in full."""
    return f"{value:.0f}" if 999.5 <= abs(value) < 1e6 else f"{value:.3g}"


#: Where there is nothing to estimate.
NO_INTERVAL = Interval(math.nan, math.nan, math.nan)


def mean_interval(values: Any) -> Interval:
    """Mean with its 95 % t-interval; without bounds where there is one value only.

    Args:
        values: shape (n,), n at least 1.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 1:
        return Interval(float(values[0]), -math.inf, math.inf)
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def ratio_interval(above: Any, below: Any, seed: int = 0) -> Interval:
    """Ratio of two means over the same contexts, with its 95 % bootstrap interval (pairs resampled).

    Infinite where the lower mean is 0, in a resample too.

    Args:
        above, below: shape (n,).
        seed: of the resampling.
    """

    above, below = (np.asarray(values, dtype=np.float64) for values in (above, below))
    drawn = np.random.default_rng(seed).integers(len(above), size=(_RESAMPLES, len(above)))
    resampled = _quotient(above[drawn].mean(axis=1), below[drawn].mean(axis=1))
    low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")  # no sums: there may be infinite ones
    return Interval(float(_quotient(above.mean(), below.mean())), float(low), float(high))


def _quotient(above: Any, below: Any) -> FloatArray:
    """``above / below``, infinite where ``below`` is 0."""
    quotient: FloatArray = np.divide(above, below, out=np.full(np.shape(above), np.inf), where=below != 0)
    return quotient


@dataclass(frozen=True)
class Effect:
    """How much one of two paired samples lies above the other.

    Attributes:
        difference: its mean, with a 95 % t-interval.
        size: Cohen's d of paired samples, the mean difference in standard deviations of the differences;
            infinite where all differences are equal, 0 where they all are 0.
        pairs: how many there were.
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
    """What lies between two samples that belong together pair by pair.

    Args:
        above, below: shape (n,).
    """
    gaps = np.asarray(above, dtype=np.float64) - np.asarray(below, dtype=np.float64)
    spread = float(gaps.std(ddof=1)) if len(gaps) > 1 else 0.0
    mean = float(gaps.mean())
    size = mean / spread if spread else math.copysign(math.inf, mean) if mean else 0.0
    return Effect(mean_interval(gaps), size, len(gaps))

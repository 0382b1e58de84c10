"""Intervals that hold: a network's quantiles, widened by conformal prediction within regions.

The quantiles come from the network (pinball loss), and runs that it hasn't learned from tell how much wider or narrower
the 90 % interval must be (conformalised quantile regression, Romano et al. 2019), in each region of predictions on its
own (Mondrian, Vovk et al. 2003): what holds on average may fail at the highest rates, which are those that get chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Of the predicted quantiles; the outermost two are the ends of the 90 % interval.
LEVELS: tuple[float, ...] = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)
#: The same with both ends of the distribution: between two of them, it is even.
_SHARES = np.array([0.0, *LEVELS, 1.0])
KNOTS = len(_SHARES)
COVERAGE = LEVELS[-1] - LEVELS[0]
#: How far a margin moves each quantile outwards.
_OUTWARDS = np.linspace(-1, 1, len(LEVELS))
#: A region has at least so many runs, or where there are few, and how many regions there are then, and at most.
_LEAST, _LEAST_OF_FEW, _FEW_REGIONS, _MOST_REGIONS = 100, 15, 3, 12


@dataclass(frozen=True)
class Calibration:
    """What turns predicted quantiles into ones that hold; everything is in standardised targets.

    Attributes:
        edges: between the regions of each target, by its prediction, shape (targets, regions - 1).
        margins: how much further out the ends of the interval lie, shape (targets, regions).
        correlation: of the targets' deviations, as ranks of a normal distribution, shape (targets, targets).
    """

    edges: FloatArray
    margins: FloatArray
    correlation: FloatArray

    @classmethod
    def none(cls, targets: int) -> Calibration:
        """Return the calibration that changes nothing."""
        return cls(np.empty((targets, 0)), np.zeros((targets, 1)), np.eye(targets))

    def quantiles(self, mean: FloatArray, residual: FloatArray) -> FloatArray:
        """Return calibrated quantiles, ascending.

        Args:
            mean: expected targets, shape (n, targets), or only the first of them.
            residual: predicted quantiles of the deviation from ``mean``, shape (n, targets, levels).

        Returns:
            Shape (n, targets, levels).
        """
        margins = np.empty_like(mean)
        for target, middle in enumerate(mean.T):
            margins[:, target] = self.margins[target][np.searchsorted(self.edges[target], middle)]
        quantiles: FloatArray = np.sort(mean[..., None] + residual + margins[..., None] * _OUTWARDS, axis=-1)
        return quantiles


def calibrate(mean: FloatArray, residual: FloatArray, targets: FloatArray) -> Calibration:
    """Calibrate with runs that the predictions haven't learned from.

    Args:
        mean, residual: as for :meth:`Calibration.quantiles`.
        targets: what was measured, shape (n, targets); NaN where it wasn't.
    """
    few = min(len(mean) // _LEAST_OF_FEW, _FEW_REGIONS)
    regions = int(np.clip(max(len(mean) // _LEAST, few), 1, _MOST_REGIONS))
    edges = np.quantile(mean, np.linspace(0, 1, regions + 1)[1:-1], axis=0).T
    margins = np.zeros((mean.shape[1], regions))
    low, high = (mean[..., None] + np.sort(residual, axis=-1))[..., [0, -1]].transpose(2, 0, 1)
    beyond = np.maximum(low - targets, targets - high)
    for target, middle in enumerate(mean.T):
        region = np.searchsorted(edges[target], middle)
        for number in range(regions):
            margins[target, number] = _conformal(beyond[region == number, target])
    found = Calibration(edges, margins, np.eye(mean.shape[1]))
    return Calibration(edges, margins, _correlation(found.quantiles(mean, residual), targets))


def _conformal(scores: FloatArray) -> float:
    """Return the score that 90 % of runs stay below, the next one included; 0 without scores."""
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        return 0.0
    return float(np.quantile(scores, min(COVERAGE * (1 + 1 / len(scores)), 1.0)))


def _correlation(quantiles: FloatArray, targets: FloatArray) -> FloatArray:
    """Return the correlation of the targets' ranks within their predicted distributions."""
    ranks = (quantiles < targets[..., None]).sum(axis=-1) + 0.5 * (quantiles == targets[..., None]).sum(axis=-1)
    centred = np.where(np.isnan(targets), 0.0, ranks - len(LEVELS) / 2)
    products = centred.T @ centred
    scale = np.sqrt(np.diag(products))
    with np.errstate(invalid="ignore"):
        found: FloatArray = np.where(np.outer(scale, scale) > 0, products / np.outer(scale, scale), 0.0)
    np.fill_diagonal(found, 1.0)
    return found


def knots_of(quantiles: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return levels from 0 to 1 and their quantiles: the outermost parts are as wide as those beside them."""
    first, last = quantiles[..., :1], quantiles[..., -1:]
    below = 2 * first - quantiles[..., 1:2]
    above = 2 * last - quantiles[..., -2:-1]
    return _SHARES, np.concatenate([below, quantiles, above], axis=-1)


def deviation(quantiles: FloatArray) -> FloatArray:
    """Return the standard deviation of the distribution that quantiles describe, shape (...)."""
    levels, knots = knots_of(quantiles)
    shares, (left, right) = np.diff(levels), (knots[..., :-1], knots[..., 1:])
    mean = (shares * (left + right) / 2).sum(axis=-1)
    square = (shares * (left * left + left * right + right * right) / 3).sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0.0)))


def draw(quantiles: FloatArray, correlation: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Draw targets from the distributions that quantiles describe, dependent on one another as ``correlation`` says.

    Args:
        quantiles: shape (n, targets, levels).
        correlation: see :class:`Calibration`.
        generator: one number per target is drawn from it.

    Returns:
        Shape (n, targets).
    """
    _, knots = knots_of(quantiles)
    left, part = places(generator.standard_normal(quantiles.shape[:2]), correlation)
    ends = [np.take_along_axis(knots, (left + side)[..., None], axis=-1)[..., 0] for side in (0, 1)]
    drawn: FloatArray = ends[0] + part * (ends[1] - ends[0])
    return drawn


def places(normal: FloatArray, correlation: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Return where between two knots drawn targets lie, whatever the knots are.

    Args:
        normal: drawn from a standard normal distribution, shape (n, targets).
        correlation: see :class:`Calibration`, or its first targets.

    Returns:
        The number of the knot to the left, and the part of the way to the next one, both of shape (n, targets).
    """
    values, vectors = np.linalg.eigh(correlation)
    normal = normal @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    # The normal distribution, but for 0.0002:
    shares = 1 / (1 + np.exp(-(1.5976 + 0.070566 * normal * normal) * normal))
    right = np.clip(np.searchsorted(_SHARES, shares, side="right"), 1, len(_SHARES) - 1)
    return right - 1, (shares - _SHARES[right - 1]) / (_SHARES[right] - _SHARES[right - 1])

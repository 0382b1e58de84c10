"""Between units and what a predictor works with: inputs and targets of mean 0 and variance 1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meshgym.simulator.features import encode, place_knots

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Translates settings to inputs of a predictor, and its outputs to targets.

    Attributes:
        low, high: ranges of the settings in the traces, shape (columns,).
        input_mean, input_scale: of the derived features, then of the encoded ones, shape (features + k,).
        output_mean, output_scale: of the targets, in their units, shape (targets,).
        knots: intervals the features are encoded in (see ``features.encode``), shape (k, 3).

    The targets are the identity's ``outcomes``, see :func:`meshgym.simulator.outcomes.to_target`.
    """

    low: FloatArray
    high: FloatArray
    input_mean: FloatArray
    input_scale: FloatArray
    output_mean: FloatArray
    output_scale: FloatArray
    knots: FloatArray = field(default_factory=lambda: np.empty((0, 3)))

    @classmethod
    def of(
        cls, settings: FloatArray, features: FloatArray, targets: FloatArray, bins: int = 0, derived: bool = True
    ) -> Self:
        """Measure the scales of a training part.

        Args:
            settings: shape (n, columns).
            features: of these settings, shape (n, features).
            targets: in their units, shape (n, targets); NaN where there is none.
            bins: intervals in which each feature is encoded; 0 for only the plain numbers.
            derived: whether to use the features that are derived from the settings.
        """
        knots = place_knots(features, bins) if bins else np.empty((0, 3))
        features = np.hstack([features, encode(features, knots)])
        scale = _spread(features)
        scale[scale == 0] = 1.0  # a constant minus its mean is 0 anyway
        if not derived:
            scale[settings.shape[1] :] = np.inf  # divided by infinity, a feature is always 0
        return cls(
            low=settings.min(axis=0),
            high=settings.max(axis=0),
            input_mean=features.mean(axis=0),
            input_scale=scale,
            output_mean=np.nanmean(targets, axis=0),
            output_scale=_spread(targets),
            knots=knots,
        )

    def inputs(self, features: FloatArray) -> FloatArray:
        """Return the standardised inputs, shape (n, features + k), for features of settings."""
        whole = np.hstack([features, encode(features, self.knots)])
        standard: FloatArray = (whole - self.input_mean) / self.input_scale
        return standard

    def standardise(self, targets: FloatArray) -> FloatArray:
        """Return targets as predictors learn them, shape (n, targets)."""
        scale = self.output_scale
        standard: FloatArray = (targets - self.output_mean) / np.where(scale > 0, scale, 1.0)
        return standard

    def to_units(self, standard: FloatArray) -> FloatArray:
        """Return standardised targets, shape (..., targets), in their units."""
        return standard * self.output_scale + self.output_mean


def _spread(columns: FloatArray) -> FloatArray:
    """Return standard deviations; exactly 0 for a constant column."""
    spread: FloatArray = np.nanstd(columns, axis=0)
    return np.where(np.nanmax(columns, axis=0) > np.nanmin(columns, axis=0), spread, 0.0)

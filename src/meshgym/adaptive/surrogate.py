"""What is known of one number after few runs: a Gaussian process and trees over the features of settings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshgym.simulator.features import Features
from meshgym.simulator.process import matern
from meshgym.simulator.small import grow, likeliest

FloatArray = NDArray[np.float64]

#: Settings that are predicted together.
_BLOCK = 8192
#: Added to variances, as a share of the amplitude, so that rounding doesn't make one negative.
_JITTER = 1e-8


class Surrogate:
    """Learns one number of each run. The process says what is possible; the mean of both misses less than either.

    Args:
        features: of the settings.
        settings: of the runs, shape (n, columns).
        values: what is learned, shape (n,).
        seed: of the trees, and of which runs choose the length scales, if there are many.
    """

    def __init__(self, features: Features, settings: FloatArray, values: FloatArray, seed: int) -> None:
        self._features = features
        rows = features.derive(settings)
        spread = rows.std(axis=0)
        self._middle, self._spread = rows.mean(axis=0), np.where(spread > 0, spread, 1.0)
        self._rows = self._standard(rows)
        self._mean, self._scale = values.mean(), values.std() or 1.0
        targets = (values - self._mean) / self._scale
        self._scales, self._amplitude, noise = likeliest(self._rows, targets, seed)
        covariance = self._amplitude * matern(self._rows, self._rows, self._scales) + noise * np.eye(len(rows))
        self._inverse = np.linalg.inv(covariance)
        self._weights = self._inverse @ targets
        self._trees = grow(self._rows, targets[:, None], seed)

    def _standard(self, rows: FloatArray) -> FloatArray:
        standard: FloatArray = (rows - self._middle) / self._spread
        return standard

    def mean(self, settings: FloatArray) -> FloatArray:
        """Return what is expected, shape (n,), of settings, shape (n, columns)."""
        blocks = np.array_split(settings, -(-len(settings) // _BLOCK) or 1)
        return np.concatenate([self._mean_of(self._standard(self._features.derive(block))) for block in blocks])

    def _mean_of(self, rows: FloatArray) -> FloatArray:
        process = self._amplitude * matern(rows, self._rows, self._scales) @ self._weights
        trees, _ = self._trees.moments(rows)
        mean: FloatArray = (process + trees[:, 0]) / 2 * self._scale + self._mean
        return mean

    def moments(self, settings: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what the process expects, and its standard deviation without noise, both of shape (n,)."""
        near = self._amplitude * matern(self._standard(self._features.derive(settings)), self._rows, self._scales)
        variance = self._amplitude - ((near @ self._inverse) * near).sum(axis=1)
        mean = near @ self._weights * self._scale + self._mean
        return mean, np.sqrt(np.maximum(variance, 0.0)) * self._scale

    def surprise(self) -> FloatArray:
        """Return how far each run lies from what the others say, in standard deviations, shape (runs,)."""
        surprise: FloatArray = np.abs(self._weights) / np.sqrt(self._inverse.diagonal())
        return surprise

    def draw(self, settings: FloatArray, count: int, generator: np.random.Generator) -> FloatArray:
        """Draw functions that fit the runs.

        Args:
            settings: shape (n, columns); what a function says of one depends on what it says of the others.
            count: how many functions.
            generator: of the draws.

        Returns:
            Shape (count, n).
        """
        rows = self._standard(self._features.derive(settings))
        near = self._amplitude * matern(rows, self._rows, self._scales)
        covariance = self._amplitude * matern(rows, rows, self._scales) - near @ self._inverse @ near.T
        root = np.linalg.cholesky(covariance + _JITTER * self._amplitude * np.eye(len(rows)))
        standard = near @ self._weights + generator.standard_normal((count, len(rows))) @ root.T
        drawn: FloatArray = standard * self._scale + self._mean
        return drawn

"""Gaussian processes as plain arrays, with NumPy only: for few runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meshgym.simulator.predictor import Spread

FloatArray = NDArray[np.float64]

#: Rows evaluated together. Each block is filled up to this size: a BLAS may add in another order in another shape.
_BLOCK = 256


def matern(one: FloatArray, other: FloatArray, scales: FloatArray) -> FloatArray:
    """Return the Matern 3/2 correlation of rows, shape (n, m); one length scale per input."""
    squares = np.zeros((len(one), len(other)))
    for a, b in zip((one / scales).T, (other / scales).T, strict=True):
        squares += np.square(a[:, None] - b)
    distance = np.sqrt(3.0 * squares)
    correlation: FloatArray = (1.0 + distance) * np.exp(-distance)
    return correlation


@dataclass(frozen=True)
class Process(Spread):
    """A Gaussian process for each target: Matern 3/2, one length scale per input, and noise.

    Attributes:
        rows: inputs that it has learned from, shape (m, inputs).
        targets: standardised targets of these rows, shape (m, targets).
        known: which of them there are, shape (m, targets).
        scales: length scales, shape (targets, inputs).
        amplitude, noise: variances of the function and between runs of one setting, shape (targets,).
    """

    rows: FloatArray
    targets: FloatArray
    known: NDArray[np.bool_]
    scales: FloatArray
    amplitude: FloatArray
    noise: FloatArray
    _solved: list[tuple[FloatArray, FloatArray, FloatArray]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_solved", [self._solve(target) for target in range(self.targets.shape[1])])

    def _solve(self, target: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the rows that have a target, the inverse of their covariance, and its product with the target."""
        known = self.known[:, target]
        rows = self.rows[known]
        covariance = self.amplitude[target] * matern(rows, rows, self.scales[target])
        inverse = np.linalg.inv(covariance + self.noise[target] * np.eye(len(rows)))
        return rows, inverse, inverse @ self.targets[known, target]

    def moments(self, inputs: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        count, targets = len(inputs), len(self.amplitude)
        first = targets if first is None else first
        mean, variance = np.empty((count, targets)), np.empty((count, first))
        for start in range(0, count, _BLOCK):
            block = inputs[start : start + _BLOCK]
            used = slice(start, start + len(block))
            block = np.vstack([block, np.zeros((_BLOCK - len(block), block.shape[1]))])[:, : self.rows.shape[1]]
            for target, (rows, inverse, weights) in enumerate(self._solved):
                near = self.amplitude[target] * matern(block, rows, self.scales[target])
                mean[used, target] = (near @ weights)[: used.stop - start]
                if target < first:
                    explained = ((near @ inverse) * near).sum(axis=1)[: used.stop - start]
                    variance[used, target] = self.amplitude[target] + self.noise[target] - explained
        return mean, np.sqrt(np.maximum(variance, self.noise[:first]))

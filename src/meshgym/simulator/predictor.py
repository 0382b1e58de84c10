"""What predicts inside a simulator, whichever kind it is: standardised inputs -> targets and their spread."""

from __future__ import annotations

from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from meshgym.files import Arrays
from meshgym.simulator.calibration import LEVELS

FloatArray = NDArray[np.float64]
#: Quantiles of a deviation in its standard deviations, if nothing better is known.
NORMAL = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


class Predictor(Protocol):
    """Predicts standardised targets of standardised inputs; made of arrays alone, so its file needs no pickle."""

    def __call__(self, inputs: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Return what is expected, and the quantiles of the deviation from that.

        A row gets the same numbers to the last bit in every batch.

        Args:
            inputs: shape (n, inputs).
            first: of how many targets, from the first, to return quantiles; None for all.

        Returns:
            Shapes (n, targets) and (n, first, levels).
        """
        ...

    def to_arrays(self) -> Arrays:
        """Return what it is made of."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Make it again of what :meth:`to_arrays` returned."""
        ...


@dataclass(frozen=True)
class Spread:
    """A predictor that knows a standard deviation for each prediction, and one shape of the deviations for each target.

    Attributes:
        shape: quantiles of the deviation, in its standard deviations, shape (targets, levels).
    """

    shape: FloatArray

    def moments(self, inputs: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Return what is expected, shape (n, targets), and the standard deviations of the first targets."""
        raise NotImplementedError

    def __call__(self, inputs: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        mean, deviation = self.moments(inputs, first)
        return mean, deviation[..., None] * self.shape[:first]

    def to_arrays(self) -> Arrays:
        return {column.name: getattr(self, column.name) for column in fields(self) if column.init}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        return cls(**{column.name: arrays[column.name] for column in fields(cls) if column.init})


def shape_of(mean: FloatArray, deviation: FloatArray, targets: FloatArray) -> FloatArray:
    """Return the shape of deviations from predictions of runs that weren't learned from.

    Args:
        mean, deviation: of the predictions, shape (n, targets).
        targets: what was measured, shape (n, targets); NaN where there is none.

    Returns:
        Quantiles in standard deviations, shape (targets, levels).
    """
    scaled = (targets - mean) / np.where(deviation > 0, deviation, 1.0)  # 0 where a target is always the same
    known = ~np.isnan(scaled)
    shapes = [
        np.quantile(own[use], LEVELS) if use.any() else NORMAL for own, use in zip(scaled.T, known.T, strict=True)
    ]
    return np.array(shapes)

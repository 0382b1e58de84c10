"""The kinds of predictors that a simulator's file may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meshgym.files import Arrays
from meshgym.simulator.network import Perceptrons
from meshgym.simulator.predictor import Predictor
from meshgym.simulator.process import Process
from meshgym.simulator.trees import Trees

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """The mean of other predictors; its quantiles are the means of theirs.

    Attributes:
        parts: by the name of their kind.
    """

    parts: dict[str, Predictor]

    def __call__(self, inputs: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        means, quantiles = zip(*(part(inputs, first) for part in self.parts.values()), strict=True)
        return sum(means) / len(means), sum(quantiles) / len(quantiles)

    def to_arrays(self) -> Arrays:
        return {
            f"{kind}_{name}": array for kind, part in self.parts.items() for name, array in part.to_arrays().items()
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        return cls(_parts(arrays))


@dataclass(frozen=True)
class Corrected:
    """What some inputs say of the first targets, as they are predictions themselves, and a correction.

    Attributes:
        columns: those inputs, shape (first,).
        slope, offset: from such an input to its target, shape (first,).
        part: predicts the correction, and the other targets.
    """

    columns: NDArray[np.int64]
    slope: FloatArray
    offset: FloatArray
    part: Predictor

    def __call__(self, inputs: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        mean, quantiles = self.part(inputs, first)
        mean[:, : len(self.columns)] += self.base(inputs)
        return mean, quantiles

    def base(self, inputs: FloatArray) -> FloatArray:
        """Return what the inputs say of the first targets, shape (n, first)."""
        said: FloatArray = inputs[:, self.columns] * self.slope + self.offset
        return said

    def to_arrays(self) -> Arrays:
        own: Arrays = {"columns": self.columns, "slope": self.slope, "offset": self.offset}
        return own | {f"{kind_of(self.part)}_{name}": array for name, array in self.part.to_arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        (part,) = _parts(arrays).values()
        return cls(arrays["columns"], arrays["slope"], arrays["offset"], part)


def _parts(arrays: Arrays) -> dict[str, Predictor]:
    """Return the predictors whose arrays start with the names of their kinds, by these."""
    found = ((kind, make, starting(f"{kind}_", arrays)) for kind, make in KINDS.items())
    return {kind: make.from_arrays(own) for kind, make, own in found if own}


def starting(prefix: str, arrays: Arrays) -> Arrays:
    """Return the arrays whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


KINDS: dict[str, type[Predictor]] = {
    "trees": Trees,
    "process": Process,
    "perceptrons": Perceptrons,
    "mean": Mean,
    "corrected": Corrected,
}


def kind_of(predictor: Predictor) -> str:
    """Return the name of a predictor's kind."""
    return next(name for name, kind in KINDS.items() if type(predictor) is kind)

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
        found: dict[str, Predictor] = {}
        for kind, make in KINDS.items():
            if own := starting(f"{kind}_", arrays):
                found[kind] = make.from_arrays(own)
        return cls(found)


def starting(prefix: str, arrays: Arrays) -> Arrays:
    """Return the arrays whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


KINDS: dict[str, type[Predictor]] = {"trees": Trees, "process": Process, "perceptrons": Perceptrons, "mean": Mean}


def kind_of(predictor: Predictor) -> str:
    """Return the name of a predictor's kind."""
    return next(name for name, kind in KINDS.items() if type(predictor) is kind)

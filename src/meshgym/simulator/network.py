"""The network of a simulator: an ensemble of small perceptrons in exact arithmetic, with NumPy only.

Weights and activations are whole multiples of ``2**-12``. So a float64 holds their products and sums without rounding,
and the order in which a BLAS adds them doesn't matter: a row has the same outputs to the last bit in every batch, with
any number of threads, on every processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meshgym.files import Arrays
from meshgym.simulator.calibration import LEVELS

FloatArray = NDArray[np.float64]

#: Steps per unit, of weights and of activations.
STEPS = 2.0**12
#: Largest activation and weight, in steps, and number of inputs: 2**24 * 2**15 * 2**13 stays below 2**53.
MAX_ACTIVATION, MAX_WEIGHT, MAX_WIDTH = 2.0**24, 2**15 - 1, 2**13
#: What the file calls the arrays of a layer.
_PARTS = ("weight", "bias")
#: Rows evaluated together: their activations fit into the processor's cache.
_CHUNK = 256


def quantise(values: Any) -> NDArray[np.int16]:
    """Round to whole steps, clipped to ``-MAX_WEIGHT``..``MAX_WEIGHT`` (8 in units)."""
    return np.rint(np.clip(np.asarray(values, dtype=np.float64) * STEPS, -MAX_WEIGHT, MAX_WEIGHT)).astype(np.int16)


@dataclass(frozen=True)
class Ensemble:
    """Perceptrons of equal shape with ReLU between their layers.

    Attributes:
        weights: for each layer an int16 array (members, inputs, outputs), in steps of ``2**-12``.
        biases: for each layer an int16 array (members, 1, outputs), in the same steps.
    """

    weights: tuple[NDArray[np.int16], ...]
    biases: tuple[NDArray[np.int16], ...]
    _layers: list[tuple[FloatArray, FloatArray]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Weights in units, biases in steps: with activations in steps, so are the sums.
        layers = zip(self.weights, self.biases, strict=True)
        object.__setattr__(self, "_layers", [(weight / STEPS, bias.astype(np.float64)) for weight, bias in layers])

    def __call__(self, inputs: FloatArray, outputs: int | None = None) -> FloatArray:
        """Evaluate all members.

        Args:
            inputs: standardised features, shape (n, features).
            outputs: how many of the outputs to evaluate, from the first; None for all.

        Returns:
            Shape (members, n, outputs).
        """
        weight, bias = (part[..., :outputs] for part in self._layers[-1])
        chunks = [(hidden @ weight + bias) / STEPS for hidden in self._hidden(inputs)]
        return np.concatenate([np.empty((len(weight), 0, weight.shape[-1])), *chunks], axis=1)

    def mean(self, inputs: FloatArray, outputs: int | None = None) -> FloatArray:
        """Return the mean of all members, shape (n, outputs): the same to the last bit, and sooner."""
        weight, bias = (part[..., :outputs] for part in self._layers[-1])
        scale = STEPS * len(weight)
        chunks = [(sum(map(np.matmul, hidden, weight)) + bias.sum(axis=0)) / scale for hidden in self._hidden(inputs)]
        return np.concatenate([np.empty((0, weight.shape[-1])), *chunks])

    def _hidden(self, inputs: FloatArray) -> Iterator[FloatArray]:
        """Yield the activations of the last hidden layer, shape (members, rows, width), some rows at a time."""
        for start in range(0, len(inputs), _CHUNK):
            yield self._activate(inputs[start : start + _CHUNK])

    def _activate(self, inputs: FloatArray) -> FloatArray:
        hidden: FloatArray = np.clip(np.rint(inputs * STEPS), -MAX_ACTIVATION, MAX_ACTIVATION)
        for weight, bias in self._layers[:-1]:
            hidden = hidden @ weight
            hidden += bias
            np.rint(hidden, out=hidden)
            np.maximum(hidden, 0, out=hidden)
            np.minimum(hidden, MAX_ACTIVATION, out=hidden)
        return hidden


@dataclass(frozen=True)
class Perceptrons:
    """An ensemble as a predictor; see :class:`meshgym.simulator.predictor.Predictor`.

    Attributes:
        ensemble: returns the standardised targets, then for each of them the quantiles of its deviation.
        targets: how many.
    """

    ensemble: Ensemble
    targets: int

    def __call__(self, inputs: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        first = self.targets if first is None else first
        return self._split(self.ensemble.mean(inputs, self.targets + first * len(LEVELS)))

    def of_members(self, inputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the same of each member, shapes (members, n, targets) and (members, n, targets, levels)."""
        return self._split(self.ensemble(inputs))

    def _split(self, outputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        quantiles = outputs[..., self.targets :]
        shape = (*quantiles.shape[:-1], quantiles.shape[-1] // len(LEVELS), len(LEVELS))
        return outputs[..., : self.targets], quantiles.reshape(shape)

    def to_arrays(self) -> Arrays:
        layers = enumerate(zip(self.ensemble.weights, self.ensemble.biases, strict=True))
        named = ((f"{name}_{number}", part) for number, both in layers for name, part in zip(_PARTS, both, strict=True))
        return {**dict(named), "targets": np.array(self.targets)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        layers = range(sum(name.startswith(_PARTS[0]) for name in arrays))
        weights, biases = (tuple(arrays[f"{name}_{number}"] for number in layers) for name in _PARTS)
        return cls(Ensemble(weights, biases), int(arrays["targets"]))

"""The network of a simulator: an ensemble of small perceptrons in exact arithmetic, with NumPy only.

Weights and activations are whole multiples of ``2**-12``. So a float64 holds their products and sums without rounding,
and the order in which a BLAS adds them doesn't matter: a row has the same outputs to the last bit in every batch, with
any number of threads, on every processor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Steps per unit, of weights and of activations.
STEPS = 2.0**12
#: Largest activation and weight, in steps, and number of inputs: 2**24 * 2**15 * 2**13 stays below 2**53.
MAX_ACTIVATION, MAX_WEIGHT, MAX_WIDTH = 2.0**24, 2**15 - 1, 2**13
#: Rows evaluated together: their activations fit into the processor's cache.
_CHUNK = 512


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
        chunks = [self._evaluate(inputs[start : start + _CHUNK], outputs) for start in range(0, len(inputs), _CHUNK)]
        if not chunks:
            return np.empty((len(self.weights[0]), 0, self.weights[-1][..., :outputs].shape[-1]))
        return np.concatenate(chunks, axis=1)

    def _evaluate(self, inputs: FloatArray, outputs: int | None) -> FloatArray:
        hidden: FloatArray = np.clip(np.rint(inputs * STEPS), -MAX_ACTIVATION, MAX_ACTIVATION)
        for weight, bias in self._layers[:-1]:
            hidden = hidden @ weight
            hidden += bias
            np.rint(hidden, out=hidden)
            np.clip(hidden, 0, MAX_ACTIVATION, out=hidden)
        weight, bias = self._layers[-1]
        return (hidden @ weight[..., :outputs] + bias[..., :outputs]) / STEPS

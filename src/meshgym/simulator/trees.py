"""Extremely randomised trees (Geurts et al. 2006) as plain arrays, with NumPy only: for few runs.

Their values are whole multiples of ``2**-12``, so sums over trees are exact; see :mod:`meshgym.simulator.network`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshgym.simulator.network import STEPS
from meshgym.simulator.predictor import Spread

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Trees(Spread):
    """The mean of many trees; its spread is how far apart they are, and never below a floor.

    All trees lie in the same arrays, one node an entry; the right child of a node follows its left one.

    Attributes:
        roots: node where each tree begins, shape (trees,).
        depths: steps from there to the deepest leaf, shape (trees,).
        column: input that a node looks at, shape (nodes,).
        threshold: up to it, a row goes left, at a leaf every row; shape (nodes,).
        left: left child, of a leaf itself, shape (nodes,).
        values: mean of the standardised targets in a node, in steps of ``2**-12``, shape (nodes, targets).
        floor: least standard deviation of each target, shape (targets,).
    """

    roots: NDArray[np.int32]
    depths: NDArray[np.int32]
    column: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    values: NDArray[np.int16]
    floor: FloatArray

    def moments(self, inputs: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        rows, width = inputs.shape
        flat = inputs.astype(np.float32).ravel()
        start = np.arange(rows, dtype=np.int32) * np.int32(width)
        total = np.zeros((rows, self.values.shape[1]))
        squares = np.zeros_like(total[:, :first])
        for root, depth in zip(self.roots, self.depths, strict=True):
            node = np.full(rows, root)
            for _ in range(depth):
                right = flat.take(start + self.column.take(node)) > self.threshold.take(node)
                node = self.left.take(node) + right
            value = self.values.take(node, axis=0).astype(np.float64)
            total += value
            squares += np.square(value[:, :first])
        count = len(self.roots)
        mean = total / (count * STEPS)
        variance = squares / (count * STEPS**2) - np.square(mean[:, :first])
        return mean, np.sqrt(np.maximum(variance, 0.0) + np.square(self.floor[:first]))

"""A replay buffer: the latest transitions, in arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshagents.agent import Transition


class Replay:
    """Keeps the last ``size`` transitions; every sample begins with the newest.

    Attributes:
        added: how many transitions were ever added.
        newest: how many of them the last call of :meth:`add` brought.
        columns: the fields of :class:`Transition`, each of shape (size, ...); empty before the first.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.added = 0
        self.newest = 0
        self.columns: list[NDArray[Any]] = []

    def __len__(self) -> int:
        return min(self.added, self.size)

    def add(self, batch: Transition) -> None:
        """Add a batch in place of the oldest."""
        if not self.columns:
            self.columns = [np.zeros((self.size, *column.shape[1:]), column.dtype) for column in batch]
        where = np.arange(self.added, self.added + len(batch.reward)) % self.size
        for column, values in zip(self.columns, batch, strict=True):
            column[where] = values
        self.newest = min(len(batch.reward), self.size)
        self.added += len(batch.reward)

    def sample(self, count: int, rng: np.random.Generator) -> Transition:
        """Return ``count`` transitions: the batch added last, then others at random (Zhang and Sutton 2017)."""
        newest = np.arange(self.added - self.newest, self.added)[:count] % self.size
        rows = np.concatenate([newest, rng.integers(len(self), size=count - len(newest))])
        return Transition(*(column[rows] for column in self.columns))

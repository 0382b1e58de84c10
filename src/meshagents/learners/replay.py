"""What was lived through: transitions, and a ring buffer of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Transition(NamedTuple):
    """A batch of steps. N environments; with n services, an axis more.

    Attributes:
        observation: what the agent saw, shape (N, [n,] inputs).
        action: what it chose, shape (N, [n]) with one control, (N, [n,] 2) with both (threads, calls).
        reward: of each service, shape (N, [n]).
        next_observation: what came next; at the end of an episode its last observation, not the next one's first.
        terminated: whether the episode ended for good, shape (N,). One cut by a time limit did not: its last
            observation still has a value.
    """

    observation: NDArray[Any]
    action: NDArray[Any]
    reward: NDArray[Any]
    next_observation: NDArray[Any]
    terminated: NDArray[Any]


class Replay:
    """The last ``size`` transitions, of which the newest are never missed."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.added = 0
        self.newest = 0
        self.columns: list[NDArray[Any]] = []

    def __len__(self) -> int:
        return min(self.added, self.size)

    def add(self, batch: Transition) -> None:
        """Put a batch in, in the place of the oldest."""
        if not self.columns:
            self.columns = [np.zeros((self.size, *column.shape[1:]), column.dtype) for column in batch]
        where = np.arange(self.added, self.added + len(batch.reward)) % self.size
        for column, values in zip(self.columns, batch, strict=True):
            column[where] = values
        self.newest = min(len(batch.reward), self.size)
        self.added += len(batch.reward)

    def sample(self, count: int, generator: np.random.Generator) -> Transition:
        """``count`` of them: the batch added last, then others uniformly (Zhang and Sutton 2017)."""
        newest = np.arange(self.added - self.newest, self.added)[:count] % self.size
        rows = np.concatenate([newest, generator.integers(len(self), size=count - len(newest))])
        return Transition(*(column[rows] for column in self.columns))

"""Yardsticks that do not learn: at random, always the same, and the best there is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshagents.agent import Agent
from meshagents.task import Task


class RandomAgent(Agent):
    """Every action with the same probability (the paper's baseline).

    Args:
        task: what there is to decide.
        seed: of the draws.
    """

    def __init__(self, task: Task, seed: int) -> None:
        self.task = task
        self.rng = np.random.default_rng(seed)

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[np.int64]:
        counts = self.task.actions if service is None else self.task.actions[service]
        leading = np.shape(observation)[: -1 if service is not None else -self.task.low.ndim]
        return self.rng.integers(counts, size=(*leading, *counts.shape))


class FixedAgent(Agent):
    """The same action whatever the rules are.

    Args:
        action: shape () for one decision, (2,) for threads and calls.
    """

    def __init__(self, action: Any) -> None:
        self.action = np.asarray(action, dtype=np.int64)

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[np.int64]:
        return np.broadcast_to(self.action, (*np.shape(observation)[:-1], *self.action.shape)).copy()

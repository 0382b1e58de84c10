"""Dependent pair (paper, Sec. 5.2.2, Thread-Call and Call-Thread): the second sees what the first did."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshagents.agent import LearningAgent
from meshagents.learners.qlearner import QLearner
from meshagents.learners.replay import Transition


def seen(observation: Any, action: NDArray[Any]) -> NDArray[np.float32]:
    """The second agent's observation: the first one's with its action behind (Eq. 6)."""
    observation = np.asarray(observation, dtype=np.float32)
    return np.concatenate([observation, action[..., None].astype(np.float32)], axis=-1)


class Dependent(LearningAgent):
    """Two Q-learners, one after the other; ``hyperparameters.first`` says whose turn comes first.

    The second learns from the reward. The first learns what the second can make of its action, the highest
    Q-factor that then remains: a round is a decision in two steps, and this is Q-learning over them.
    """

    paired = True

    def _make_learners(self, generator: torch.Generator) -> tuple[QLearner, ...]:
        first, second = (
            self.task.decision(which) for which in (self.hyperparameters.first, 1 - self.hyperparameters.first)
        )
        return self._learner(first, generator), self._learner(second.seeing(first), generator)

    def _choose(self, observation: Any, epsilon: float, service: int | None) -> NDArray[np.int64]:
        first = self.learners[0].choose(observation, epsilon, self.rng, service)
        second = self.learners[1].choose(seen(observation, first), epsilon, self.rng, service)
        return np.stack((first, second) if self.hyperparameters.first == 0 else (second, first), axis=-1)

    def _learn(self, batch: Transition, reward: Tensor, learning_rate: float) -> float:
        first, second = self.learners
        action, reply = batch.action[..., self.hyperparameters.first], batch.action[..., 1 - self.hyperparameters.first]
        target = self._target(first, batch, reward)  # the next round begins with the first
        after = second.learn(seen(batch.observation, action), reply, target, batch.next_observation, learning_rate)
        if self.hyperparameters.within_round:
            target = after.best
        before = first.learn(batch.observation, action, target, batch.next_observation, learning_rate)
        return (before.loss + after.loss) / 2

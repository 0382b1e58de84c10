"""DQN: one agent, one decision (paper, Algorithm 1: the call agent or the thread agent)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshagents.agent import LearningAgent
from meshagents.learners.qlearner import QLearner
from meshagents.learners.replay import Transition


class DQN(LearningAgent):
    """Regresses Q(s, a) on the reward received, and takes the action with the highest."""

    paired = False

    def _make_learners(self, generator: torch.Generator) -> tuple[QLearner, ...]:
        return (self._learner(self.task, generator),)

    def _choose(self, observation: Any, epsilon: float, service: int | None) -> NDArray[np.int64]:
        return self.learners[0].choose(observation, epsilon, self.rng, service)

    def _learn(self, batch: Transition, reward: Tensor, learning_rate: float) -> float:
        learner = self.learners[0]
        target = self._target(learner, batch, reward)
        return learner.learn(batch.observation, batch.action, target, batch.next_observation, learning_rate).loss

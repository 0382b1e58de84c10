"""Independent pair (paper, Sec. 5.2.1, Thread&Call): both see the rules, act in parallel, share the reward."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshagents.agent import LearningAgent
from meshagents.learners.qlearner import QLearner
from meshagents.learners.replay import Transition


class Independent(LearningAgent):
    """Two Q-learners that know nothing of each other.

    A good action looks bad while the partner does the wrong thing beside it. So a disappointment counts
    for less than a surprise, by ``leniency``: hysteretic Q-learning (Matignon, Laurent and Le Fort-Piat 2007).
    """

    paired = True

    def _make_learners(self, generator: torch.Generator) -> tuple[QLearner, ...]:
        return tuple(self._learner(self.task.decision(which), generator) for which in (0, 1))

    def _choose(self, observation: Any, epsilon: float, service: int | None) -> NDArray[np.int64]:
        return np.stack([learner.choose(observation, epsilon, self.rng, service) for learner in self.learners], -1)

    def _learn(self, batch: Transition, reward: Tensor, learning_rate: float) -> float:
        losses = [
            learner.learn(
                batch.observation,
                batch.action[..., which],
                self._target(learner, batch, reward),
                batch.next_observation,
                learning_rate,
                self.hyperparameters.leniency,
            ).loss
            for which, learner in enumerate(self.learners)
        ]
        return sum(losses) / len(losses)

"""Collaborative agents of several services (paper, Algorithm 3): SNet shared, PNet private, reward of Eq. 8.

All agents of one kind (threads or calls) are one :class:`CollaborativeLearner`. Where both kinds act, two
of them make an independent or a dependent pair, as in one service (Sec. 5.3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.learners.networks import CollaborativeQNet
from meshagents.learners.qlearner import QLearner
from meshgym.rewards import share_between_services


def collaborative_reward(rewards: NDArray[np.float64], hyperparameters: Hyperparameters) -> NDArray[np.float64]:
    """Each service's reward by Eq. 8.

    No service's action touches another's reward, so given its own observation and action the others' share
    of Eq. 8 is noise around a constant. ``control_variate`` leaves it out: the same best action.

    Args:
        rewards: each service's own, shape (N, n).
        hyperparameters: ``beta`` and ``control_variate``.

    Returns:
        Shape (N, n).
    """
    if hyperparameters.control_variate:
        own: NDArray[np.float64] = rewards * (1 + hyperparameters.beta / rewards.shape[-1])
        return own
    return share_between_services(rewards, hyperparameters.beta)


class CollaborativeLearner(QLearner):
    """The agents of one kind over n services: observations (N, n, inputs), actions and targets (N, n).

    Each PNet learns from the Q-factors of its own service (Eq. 9). SNet learns from those of all services,
    by ``q_weight``, and as the minimiser of the error of the next observation's prediction (Eqs. 10 and
    11), by ``prediction_weight``.
    """

    network: CollaborativeQNet

    def _make_network(self, generator: torch.Generator) -> nn.Module:
        return CollaborativeQNet(
            self.task.low.shape[-1],
            self.task.observed,
            self.hyperparameters.width,
            self.hyperparameters.frequencies,
            self.task.actions.tolist(),
            self.hyperparameters.shared,
            generator,
        )

    def _network_of(self, service: int | None) -> nn.Module:
        return self.network if service is None else self.network.of_service(service)

    def _forward(self, observation: Any, next_observation: Any) -> tuple[Tensor, Tensor | float]:
        inputs = self.inputs(observation)
        message = self.network.snet(inputs)
        # The PNets see the message itself; its gradient goes on to SNet by the weight.
        passed = self.hyperparameters.q_weight * message + (1 - self.hyperparameters.q_weight) * message.detach()
        q = self.network.values(passed)
        if not self.hyperparameters.prediction_weight:
            return q, 0.0
        predicted = self.network.snet.predict(inputs, message)
        error = (predicted - self.inputs(next_observation)).square().mean()
        return q, self.hyperparameters.prediction_weight * error

"""Agents of several services that learn together: a shared SNet, private PNets (paper, Algorithm 3).

All agents of one decision (the threads of every service, or the calls) are one :class:`CollaborativeQFunction`. It
takes the place of the plain Q-function in a DQN and in both kinds of pairs; acting and learning stay as they are.

    >>> import gymnasium as gym
    >>> import meshgym
    >>> from meshagents import Application, CollaborativeDependentPair, Hyperparameters, Spaces, train
    >>> services = [gym.make_vec(f"MeshResilience-{name}-v0", num_envs=125, control="both") for name in ("S1", "S2")]
    >>> envs = Application(services)
    >>> agent = CollaborativeDependentPair(Spaces.of_envs(envs), Hyperparameters(epochs=3), seed=0)
    >>> history = train(agent, envs)
    >>> bool((history.ratio[-1] > 1).all())  # better than random in both services
    True
    >>> observations, _ = envs.reset(seed=1)
    >>> agent.act(observations).shape  # environments, services, threads and calls
    (125, 2, 2)
    >>> agent.act(observations[:, 1], service=1).shape  # S2's agents alone
    (125, 2)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meshagents.agent import Transition
from meshagents.learners.dqn import DQN, QFunction, epsilon_greedy
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.learners.networks import hidden_layers, linear
from meshagents.learners.pairs import DependentPair, IndependentPair
from meshgym.rewards import share_between_services


class SNet(nn.Module):
    """The shared half: maps an observation ``s`` to the message ``ms``, and both to the next observation (Eq. 10).

    Args:
        inputs: length of an observation, including the first agent's action if it is seen.
        observed: length of the part that the environment shows, which is what can be predicted.
        width: units per hidden layer.
        frequencies: see :class:`meshagents.learners.networks.Encoding`.
        generator: draws the initial weights.

    Maps shape (..., inputs) to (..., width).
    """

    def __init__(self, inputs: int, observed: int, width: int, frequencies: int, generator: torch.Generator) -> None:
        super().__init__()
        self.body = nn.Sequential(*hidden_layers(inputs, width, frequencies, generator))
        self.predictor = linear(inputs + width, observed, generator)

    def forward(self, observation: Tensor) -> Tensor:
        message: Tensor = self.body(observation)
        return message

    def predict(self, observation: Tensor, message: Tensor) -> Tensor:
        """Return the expected next observation, shape (..., observed)."""
        following: Tensor = self.predictor(torch.cat([observation, message], dim=-1))
        return following


class PNet(nn.Sequential):
    """The private half of one service: maps its message, shape (..., width), to Q-factors, (..., actions)."""

    def __init__(self, actions: int, width: int, generator: torch.Generator) -> None:
        super().__init__(linear(width, width, generator), nn.ReLU(), linear(width, actions, generator))


class SeparateSNets(nn.ModuleList):
    """One SNet per service, used like a shared one: what sharing is compared with."""

    def forward(self, observation: Tensor) -> Tensor:
        return torch.stack([snet(observation[..., i, :]) for i, snet in enumerate(self)], dim=-2)

    def predict(self, observation: Tensor, message: Tensor) -> Tensor:
        """Return the expected next observations, shape (..., n, observed)."""
        parts = [snet.predict(observation[..., i, :], message[..., i, :]) for i, snet in enumerate(self)]  # type: ignore[operator]
        return torch.stack(parts, dim=-2)


class CollaborativeQNet(nn.Module):
    """An SNet for all services, followed by a PNet for each.

    Args:
        inputs, observed, width, frequencies: see :class:`SNet`; the same for all services.
        actions: number of actions of each of the n services.
        shared: whether the services share one SNet.
        generator: draws the initial weights.

    Maps shape (..., n, inputs) to (..., n, max(actions)); an action that a service doesn't have is worth -inf.
    """

    def __init__(
        self,
        inputs: int,
        observed: int,
        width: int,
        frequencies: int,
        actions: Sequence[int],
        shared: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.most = max(actions)
        sizes = (inputs, observed, width, frequencies, generator)
        self.snet: SNet | SeparateSNets = SNet(*sizes) if shared else SeparateSNets(SNet(*sizes) for _ in actions)
        self.pnets = nn.ModuleList(PNet(count, width, generator) for count in actions)

    def values(self, message: Tensor) -> Tensor:
        """Return Q-factors for messages of shape (..., n, width)."""
        parts = [pnet(message[..., i, :]) for i, pnet in enumerate(self.pnets)]
        padded = [nn.functional.pad(part, (0, self.most - part.shape[-1]), value=-math.inf) for part in parts]
        return torch.stack(padded, dim=-2)

    def forward(self, observation: Tensor) -> Tensor:
        return self.values(self.snet(observation))

    def of_service(self, service: int) -> nn.Sequential:
        """Return the network of one service, with the same weights; it maps (..., inputs) to (..., actions)."""
        snet = self.snet if isinstance(self.snet, SNet) else self.snet[service]
        return nn.Sequential(snet, self.pnets[service])


class CollaborativeQFunction(QFunction):
    """The Q-functions of n services: observations (N, n, inputs), actions and targets (N, n).

    Each PNet learns from the Q-factors of its own service (Eq. 9). SNet learns from those of all services, by
    ``q_weight``, and from the error of the predicted next observation (Eqs. 10 and 11), by ``prediction_weight``.
    """

    network: CollaborativeQNet

    def make_network(self, generator: torch.Generator) -> nn.Module:
        return CollaborativeQNet(
            self.spaces.low.shape[-1],
            self.spaces.observed,
            self.hyperparameters.width,
            self.hyperparameters.frequencies,
            self.spaces.actions.tolist(),
            self.hyperparameters.shared,
            generator,
        )

    @torch.no_grad()
    def choose(
        self, observation: Any, epsilon: float, rng: np.random.Generator, service: int | None = None
    ) -> NDArray[np.int64]:
        """See :meth:`QFunction.choose`; for all services, or for one."""
        if service is None:
            return super().choose(observation, epsilon, rng)
        q = self.network.of_service(service)(self.scale(observation, service))
        return epsilon_greedy(q, self.spaces.actions[service], epsilon, rng)

    def forward(self, batch: Transition) -> tuple[Tensor, Tensor | float]:
        inputs = self.scale(batch.observation)
        message = self.network.snet(inputs)
        # PNets see the whole message; what their loss teaches SNet is weighted.
        passed = self.hyperparameters.q_weight * message + (1 - self.hyperparameters.q_weight) * message.detach()
        q = self.network.values(passed)
        if not self.hyperparameters.prediction_weight:
            return q, 0.0
        predicted = self.network.snet.predict(inputs, message)
        error = (predicted - self.scale(batch.next_observation)).square().mean()
        return q, self.hyperparameters.prediction_weight * error


def collaborative_reward(rewards: NDArray[np.float64], hyperparameters: Hyperparameters) -> NDArray[np.float64]:
    """Return each service's reward by Eq. 8.

    No service's action changes another's reward. So given its own observation and action, the others' share of
    Eq. 8 is noise around a constant. ``control_variate`` leaves it out; the best action stays the same.

    Args:
        rewards: each service's own, shape (N, n).
        hyperparameters: for ``beta`` and ``control_variate``.

    Returns:
        Shape (N, n).
    """
    if hyperparameters.control_variate:
        own: NDArray[np.float64] = rewards * (1 + hyperparameters.beta / rewards.shape[-1])
        return own
    return share_between_services(rewards, hyperparameters.beta)


class CollaborativeDQN(DQN):
    """A :class:`DQN` per service, all with a :class:`CollaborativeQFunction` and the reward of Eq. 8."""

    several: ClassVar[bool] = True
    q_function: ClassVar[type[QFunction]] = CollaborativeQFunction

    def _reward(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        return collaborative_reward(rewards, self.hyperparameters)


class CollaborativeIndependentPair(CollaborativeDQN, IndependentPair):
    """An :class:`IndependentPair` per service; see :class:`CollaborativeDQN`."""


class CollaborativeDependentPair(CollaborativeDQN, DependentPair):
    """A :class:`DependentPair` per service; see :class:`CollaborativeDQN`."""

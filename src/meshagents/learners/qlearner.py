"""One Q-network and how it learns: the part all agents are made of."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.learners.networks import QNet
from meshagents.spaces import Spaces


class Learned(NamedTuple):
    """Of one gradient step: the loss, and the value of the best action before it, shape of the targets."""

    loss: float
    best: Tensor


class QLearner:
    """Regresses the Q-factors of one kind of decision on targets.

    Args:
        task: bounds of what it sees, numbers of actions; one decision.
        hyperparameters: sizes and rates.
        generator: of the starting weights.
    """

    def __init__(self, task: Spaces, hyperparameters: Hyperparameters, generator: torch.Generator) -> None:
        self.task = task
        self.hyperparameters = hyperparameters
        # Observations go in as -1..1; where a bound is infinite they go in as they are.
        bounded = np.isfinite(task.low) & np.isfinite(task.high)
        with np.errstate(invalid="ignore"):
            middle, half = (task.high + task.low) / 2, (task.high - task.low) / 2
        self._middle = torch.from_numpy(np.where(bounded, middle, 0).astype(np.float32))
        self._half = torch.from_numpy(np.where(bounded & (half > 0), half, 1).astype(np.float32))
        self.network = self._make_network(generator)
        self.target = copy.deepcopy(self.network) if hyperparameters.gamma else self.network
        betas = (hyperparameters.adam_beta1, hyperparameters.adam_beta2)
        self.optimiser = torch.optim.Adam(self.network.parameters(), hyperparameters.learning_rate, betas, fused=True)

    def _make_network(self, generator: torch.Generator) -> nn.Module:
        hyperparameters = self.hyperparameters
        return QNet(
            self.task.low.shape[-1],
            int(self.task.actions),
            hyperparameters.width,
            hyperparameters.frequencies,
            generator,
        )

    def _network_of(self, service: int | None) -> nn.Module:
        """The network that acts for one service; None for all of them."""
        return self.network

    def inputs(self, observation: Any, service: int | None = None) -> Tensor:
        """Observations scaled for the network; the first inputs alone also do."""
        values = torch.as_tensor(np.asarray(observation, dtype=np.float32))
        rows, known = ... if service is None else service, slice(values.shape[-1])
        scaled: Tensor = (values - self._middle[rows][..., known]) / self._half[rows][..., known]
        return scaled

    @torch.no_grad()
    def choose(
        self, observation: Any, epsilon: float, rng: np.random.Generator, service: int | None = None
    ) -> NDArray[np.int64]:
        """The best action, or with probability ``epsilon`` any; shape of the observation without its last axis."""
        best: NDArray[np.int64] = self._network_of(service)(self.inputs(observation, service)).argmax(-1).numpy()
        if not epsilon:
            return best
        counts = self.task.actions if service is None else self.task.actions[service]
        return np.where(rng.random(best.shape) < epsilon, rng.integers(counts, size=best.shape), best)

    @torch.no_grad()
    def value(self, observation: Any) -> Tensor:
        """Value of the best action by the target network."""
        best: Tensor = self.target(self.inputs(observation)).amax(-1)
        return best

    def learn(
        self,
        observation: Any,
        action: NDArray[Any],
        target: Tensor,
        next_observation: Any,
        learning_rate: float,
        leniency: float = 1.0,
    ) -> Learned:
        """One gradient step on the squared error between the Q-factor of ``action`` and ``target``.

        Args:
            observation: shape (N, [n,] inputs).
            action: shape (N, [n]).
            target: shape (N, [n]).
            next_observation: shape (N, [n,] observed).
            learning_rate: of this step.
            leniency: weight of the errors where the target disappoints.
        """
        q, other_loss = self._forward(observation, next_observation)
        error = q.gather(-1, torch.as_tensor(action)[..., None])[..., 0] - target
        weight = torch.where(error > 0, leniency, 1.0)
        loss = (weight * error.square()).mean() + other_loss
        self.optimiser.param_groups[0]["lr"] = learning_rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._follow()
        return Learned(loss.item(), q.detach().amax(-1))

    def _forward(self, observation: Any, next_observation: Any) -> tuple[Tensor, Tensor | float]:
        """Q-factors of all actions, and what else there is to lose."""
        return self.network(self.inputs(observation)), 0.0

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the target network follow the online one."""
        if self.target is not self.network:
            for slow, fast in zip(self.target.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, self.hyperparameters.target_rate)

"""Pairs: two agents, one for the threads and one for the calls of one service (paper, Algorithm 2).

An :class:`IndependentPair` acts in parallel: neither knows what the other does (the paper's Thread&Call). In a
:class:`DependentPair` the second sees the first's action (Thread-Call and Call-Thread).

    >>> import gymnasium as gym
    >>> import meshgym
    >>> from meshagents import DependentPair, Hyperparameters, IndependentPair, Spaces, train
    >>> envs = gym.make_vec("MeshResilience-S2-v0", num_envs=125, control="both")
    >>> spaces, hyperparameters = Spaces.of_envs(envs), Hyperparameters(epochs=3)
    >>> threads_then_calls = DependentPair(spaces, hyperparameters, seed=0, first=0)
    >>> bool(train(threads_then_calls, envs).ratio[-1] > 1)  # better than random
    True
    >>> in_parallel = IndependentPair(spaces, hyperparameters, seed=0)
    >>> bool(train(in_parallel, envs).ratio[-1] > 1)
    True
    >>> observation, _ = envs.reset(seed=1)
    >>> in_parallel.act(observation).shape  # threads and calls
    (125, 2)
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshagents.agent import Transition
from meshagents.learners.dqn import DQN, QFunction
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.spaces import Spaces
from meshgym.errors import InvalidValueError


class IndependentPair(DQN):
    """Two Q-functions that see the same rules, act in parallel, and learn from the same reward (Sec. 5.2.1).

    A good action looks bad while the partner does the wrong thing. So errors count less, by ``leniency``, if the
    reward was below what was expected: hysteretic Q-learning (Matignon, Laurent and Le Fort-Piat 2007).

    Args, attributes and errors are those of :class:`DQN`.
    """

    paired: ClassVar[bool] = True

    def _make_q_functions(self, generator: torch.Generator) -> tuple[QFunction, ...]:
        return tuple(self.q_function(self.spaces.decision(which), self.hyperparameters, generator) for which in (0, 1))

    def _choose(self, observation: Any, epsilon: float, service: int | None) -> NDArray[np.int64]:
        return np.stack([q.choose(observation, epsilon, self.rng, service) for q in self.q_functions], axis=-1)

    def _learn(self, batch: Transition, reward: Tensor, learning_rate: float) -> float:
        losses = []
        for which, q in enumerate(self.q_functions):
            own = batch._replace(action=batch.action[..., which])
            target = self._target(q, own, reward)
            loss, _ = q.learn(own, target, learning_rate, self.hyperparameters.leniency)
            losses.append(loss)
        return sum(losses) / len(losses)


class DependentPair(DQN):
    """Two Q-functions, one after the other: the second sees the rules and the first's action (Sec. 5.2.2).

    The second learns from the reward. The first learns the highest Q-factor that the second has after its action: a
    round is a decision in two steps, and this is Q-learning over them. (Without ``within_round`` the first learns
    from the reward, as in the paper.)

    Args:
        spaces, hyperparameters, seed: see :class:`DQN`.
        first: which decision comes first, 0 (threads) or 1 (calls).

    Raises:
        InvalidValueError: ``first`` is neither 0 nor 1.
        AgentError: an environment for another kind of agent.
    """

    paired: ClassVar[bool] = True
    arguments: ClassVar[tuple[str, ...]] = ("first",)

    def __init__(self, spaces: Spaces, hyperparameters: Hyperparameters, seed: int, first: int = 0) -> None:
        if first not in (0, 1):
            raise InvalidValueError("first", first, "0 (threads) or 1 (calls)")
        self.first = first
        super().__init__(spaces, hyperparameters, seed)

    def _make_q_functions(self, generator: torch.Generator) -> tuple[QFunction, ...]:
        first, second = self.spaces.decision(self.first), self.spaces.decision(1 - self.first)
        return tuple(
            self.q_function(spaces, self.hyperparameters, generator) for spaces in (first, second.seeing(first))
        )

    def _choose(self, observation: Any, epsilon: float, service: int | None) -> NDArray[np.int64]:
        action = self.q_functions[0].choose(observation, epsilon, self.rng, service)
        reply = self.q_functions[1].choose(seeing(observation, action), epsilon, self.rng, service)
        return np.stack((action, reply) if self.first == 0 else (reply, action), axis=-1)

    def _learn(self, batch: Transition, reward: Tensor, learning_rate: float) -> float:
        first, second = self.q_functions
        action, reply = batch.action[..., self.first], batch.action[..., 1 - self.first]
        target = self._target(first, batch, reward)  # the next round begins with the first
        seen = batch._replace(observation=seeing(batch.observation, action), action=reply)
        second_loss, best = second.learn(seen, target, learning_rate)
        if self.hyperparameters.within_round:
            target = best
        first_loss, _ = first.learn(batch._replace(action=action), target, learning_rate)
        return (first_loss + second_loss) / 2


def seeing(observation: Any, action: NDArray[Any]) -> NDArray[np.float32]:
    """Return the second's observation: the first's, followed by its action (Eq. 6); shape (..., inputs + 1)."""
    observation = np.asarray(observation, dtype=np.float32)
    return np.concatenate([observation, action[..., None].astype(np.float32)], axis=-1)

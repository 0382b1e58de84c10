"""What an agent is: two methods, ``act`` and ``update``."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshagents.errors import AgentError
from meshagents.learners.collaborative import CollaborativeLearner, collaborative_reward
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.learners.qlearner import QLearner
from meshagents.learners.replay import Replay, Transition
from meshagents.spaces import Spaces


class Agent(ABC):
    """Chooses actions and learns from what comes of them."""

    @abstractmethod
    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[np.int64]:
        """Actions for observations.

        Args:
            observation: shape (..., [n,] inputs); any leading axes.
            explore: whether some actions are random, as in training.
            service: of an agent of n services, the one to act for alone; its observations have no axis n.

        Returns:
            Shape (..., [n]) with one control, (..., [n,] 2) with both (threads, calls).
        """

    def update(self, transition: Transition) -> float | None:
        """Learn from a batch of steps; returns the loss, None where nothing is learned."""
        return None


class RewardScale:
    """Running mean and deviation of rewards, one for each service: networks learn best around 0 and 1."""

    def __init__(self, task: Spaces) -> None:
        self.count = 0
        self.mean = np.zeros(task.services or ())
        self.squares = np.zeros(task.services or ())

    def add(self, rewards: NDArray[np.float64]) -> None:
        """Take rewards of shape (N, [n]) into account (Chan's update)."""
        count, mean = len(rewards), rewards.mean(axis=0)
        gap, total = mean - self.mean, self.count + count
        self.squares = self.squares + ((rewards - mean) ** 2).sum(axis=0) + gap**2 * self.count * count / total
        self.mean = self.mean + gap * count / total
        self.count = total

    def standardise(self, rewards: NDArray[np.float64], centred: bool) -> Tensor:
        """Rewards around 0 with deviation 1; only divided where not ``centred``."""
        mean = self.mean if centred else 0 * self.mean
        deviation = np.sqrt(self.squares / self.count + (self.mean - mean) ** 2)
        scaled = (rewards - mean) / np.where(deviation > 0, deviation, 1)
        return torch.as_tensor(scaled.astype(np.float32))


class LearningAgent(Agent):
    """What the Q-learning agents have in common: replay, schedules, scaled rewards.

    Args:
        task: what there is to decide.
        hyperparameters: all settings.
        seed: of the starting weights, the exploration and the replay.

    Raises:
        AgentError: a task that is not this agent's.
    """

    #: Whether it decides on threads and calls, or on one of them.
    paired: ClassVar[bool]

    def __init__(self, task: Spaces, hyperparameters: Hyperparameters, seed: int) -> None:
        if task.paired != self.paired:
            needed = 'both threads and calls: control="both"' if self.paired else 'control="threads" or "calls"'
            raise AgentError(
                f"{type(self).__name__} cannot act in an action space of {task.actions}; it takes {needed}"
            )
        self.task, self.hyperparameters, self.seed = task, hyperparameters, seed
        self.rng = np.random.default_rng(seed)
        self.replay = Replay(hyperparameters.replay_size)
        self.scale = RewardScale(task)
        self.learners = self._make_learners(torch.Generator().manual_seed(seed))
        self.best_weights: list[dict[str, Tensor]] = []  # of each learner's network, see remember

    @abstractmethod
    def _make_learners(self, generator: torch.Generator) -> tuple[QLearner, ...]:
        """One for each kind of decision."""

    @abstractmethod
    def _choose(self, observation: Any, epsilon: float, service: int | None) -> NDArray[np.int64]:
        """Actions, each random with probability ``epsilon``."""

    @abstractmethod
    def _learn(self, batch: Transition, reward: Tensor, learning_rate: float) -> float:
        """One gradient step of every learner on a batch with scaled rewards; returns the mean loss."""

    def _learner(self, task: Spaces, generator: torch.Generator) -> QLearner:
        kind = QLearner if task.services is None else CollaborativeLearner
        return kind(task, self.hyperparameters, generator)

    @property
    def progress(self) -> float:
        """Share of the run's interactions that have been seen, 0..1."""
        return min(self.replay.added / self.hyperparameters.horizon, 1.0)

    def remember(self) -> None:
        """Keep the networks as they are now: :meth:`best` goes back to them."""
        self.best_weights = [copy.deepcopy(learner.network.state_dict()) for learner in self.learners]

    def best(self) -> Self:
        """A copy of this agent as it was last remembered; as it is now if it never was."""
        twin = copy.deepcopy(self)
        for learner, weights in zip(twin.learners, self.best_weights, strict=False):
            learner.network.load_state_dict(weights)
        return twin

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[np.int64]:
        """See :meth:`Agent.act`."""
        return self._choose(observation, self.hyperparameters.epsilon_at(self.progress) if explore else 0.0, service)

    def update(self, transition: Transition) -> float:
        """Keep the steps, then learn from ``hyperparameters.updates`` batches of them; return the mean loss."""
        reward = np.asarray(transition.reward, dtype=np.float64)
        if self.task.services is not None:
            reward = collaborative_reward(reward, self.hyperparameters)
        self.scale.add(reward)
        self.replay.add(transition._replace(reward=reward))
        learning_rate = self.hyperparameters.learning_rate_at(self.progress)
        losses = []
        for _ in range(self.hyperparameters.updates):
            batch = self.replay.sample(self.hyperparameters.batch_size, self.rng)
            # A mean may be taken off only where no values follow: elsewhere it would change what is best.
            scaled = self.scale.standardise(batch.reward, centred=self.hyperparameters.gamma == 0)
            losses.append(self._learn(batch, scaled, learning_rate))
        return float(np.mean(losses))

    def _target(self, learner: QLearner, batch: Transition, reward: Tensor) -> Tensor:
        """``reward + gamma * value of the next observation``, without the latter where the episode terminated."""
        if not self.hyperparameters.gamma:
            return reward
        goes_on = torch.as_tensor(~np.asarray(batch.terminated, dtype=bool))
        following = learner.value(batch.next_observation)
        return reward + self.hyperparameters.gamma * following * goes_on.reshape(-1, *[1] * (following.ndim - 1))

"""DQN: one agent makes one decision, the threads or the calls (paper, Algorithm 1).

A :class:`QFunction` tells what each action is worth, and learns it by gradient steps. A :class:`DQN` acts, remembers,
and sets the targets. The schedules of exploration and learning rate come last.

    >>> import gymnasium as gym
    >>> import meshgym
    >>> from meshagents import DQN, Hyperparameters, Spaces, train
    >>> envs = gym.make_vec("MeshResilience-S2-v0", num_envs=125, control="calls")
    >>> agent = DQN(Spaces.of_envs(envs), Hyperparameters(epochs=3), seed=0)
    >>> bool(train(agent, envs).ratio[-1] > 1)  # better than random
    True
    >>> agent.act(envs.reset(seed=1)[0]).shape
    (125,)
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meshagents.agent import Agent, Transition
from meshagents.learners import checkpoint
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.learners.networks import QNet
from meshagents.learners.replay import Replay
from meshagents.learners.scaling import ObservationScale, RewardScale
from meshagents.spaces import Spaces
from meshgym.files import Arrays, write_arrays


class QFunction:
    """A Q-network, its target network and its optimiser: values of the actions of one decision.

    Args:
        spaces: what is seen and decided; one decision.
        hyperparameters: sizes and rates.
        generator: draws the initial weights.
    """

    def __init__(self, spaces: Spaces, hyperparameters: Hyperparameters, generator: torch.Generator) -> None:
        self.spaces, self.hyperparameters = spaces, hyperparameters
        self.scale = ObservationScale(spaces)
        self.network = self.make_network(generator)
        self.target = copy.deepcopy(self.network) if hyperparameters.gamma else self.network
        betas = (hyperparameters.adam_beta1, hyperparameters.adam_beta2)
        self.optimiser = torch.optim.Adam(self.network.parameters(), hyperparameters.learning_rate, betas, fused=True)

    def make_network(self, generator: torch.Generator) -> nn.Module:
        """Return a network that maps scaled observations, shape (..., inputs), to Q-factors, (..., actions)."""
        inputs, actions = self.spaces.low.shape[-1], int(self.spaces.actions)
        return QNet(inputs, actions, self.hyperparameters.width, self.hyperparameters.frequencies, generator)

    @torch.no_grad()
    def choose(
        self, observation: Any, epsilon: float, rng: np.random.Generator, service: int | None = None
    ) -> NDArray[np.int64]:
        """Return the best actions, shape (...), each replaced by a random one with probability ``epsilon``.

        Args:
            observation: shape (..., inputs).
            epsilon: 0..1.
            rng: draws whether to replace an action, and by which.
            service: as for :meth:`Agent.act`; here there is only one.
        """
        return epsilon_greedy(self.network(self.scale(observation)), self.spaces.actions, epsilon, rng)

    @torch.no_grad()
    def value(self, observation: Any) -> Tensor:
        """Return the target network's value of the best action, shape (...)."""
        best: Tensor = self.target(self.scale(observation)).amax(-1)
        return best

    def learn(
        self, batch: Transition, target: Tensor, learning_rate: float, leniency: float = 1.0
    ) -> tuple[float, Tensor]:
        """Take one gradient step on the squared error between the Q-factors of the actions and ``target``.

        Args:
            batch: N transitions, with this decision's actions only.
            target: shape (N, [n]).
            learning_rate: for this step.
            leniency: weight of errors where the target is below the Q-factor.

        Returns:
            The loss, and the values of the best actions before the step, shape (N, [n]).
        """
        q, further_loss = self.forward(batch)
        error = q.gather(-1, torch.as_tensor(batch.action)[..., None])[..., 0] - target
        weight = torch.where(error > 0, leniency, 1.0)
        loss = (weight * error.square()).mean() + further_loss
        self.optimiser.param_groups[0]["lr"] = learning_rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._follow()
        return loss.item(), q.detach().amax(-1)

    def forward(self, batch: Transition) -> tuple[Tensor, Tensor | float]:
        """Return the Q-factors of all actions, and what else to minimise."""
        return self.network(self.scale(batch.observation)), 0.0

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the target network towards the network, unless they are one."""
        if self.target is not self.network:
            for slow, fast in zip(self.target.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, self.hyperparameters.target_rate)


def epsilon_greedy(q: Tensor, counts: NDArray[np.int64], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the actions with the highest Q-factors, each replaced by a random one with probability ``epsilon``."""
    best: NDArray[np.int64] = q.argmax(-1).numpy()
    if not epsilon:
        return best
    return np.where(rng.random(best.shape) < epsilon, rng.integers(counts, size=best.shape), best)


class DQN(Agent):
    """Learns the reward of each action under each observation, and takes the action with the highest.

    Args:
        spaces: what it sees and decides; see :meth:`Spaces.of_envs`.
        hyperparameters: sizes, rates and schedules.
        seed: seed of initial weights, exploration and replay.

    Attributes:
        q_functions: one per decision.

    Raises:
        AgentError: an environment for another kind of agent.
    """

    #: The kind of environment it takes: with two decisions or one, with several services or one.
    paired: ClassVar[bool] = False
    several: ClassVar[bool] = False
    q_function: ClassVar[type[QFunction]] = QFunction
    arguments: ClassVar[tuple[str, ...]] = ()  # what else the constructor takes; each is an attribute

    def __init__(self, spaces: Spaces, hyperparameters: Hyperparameters, seed: int) -> None:
        spaces.check(type(self).__name__, self.paired, self.several)
        self.spaces, self.hyperparameters, self.seed = spaces, hyperparameters, seed
        self.rng = np.random.default_rng(seed)
        self.replay = Replay(hyperparameters.replay_size)
        self.reward_scale = RewardScale(spaces)
        self.q_functions = self._make_q_functions(torch.Generator().manual_seed(seed))
        self.best_weights: list[dict[str, Tensor]] = []  # of each Q-function's network, see remember()

    def _make_q_functions(self, generator: torch.Generator) -> tuple[QFunction, ...]:
        return (self.q_function(self.spaces, self.hyperparameters, generator),)

    # Acting: the best action, or a random one while exploring.

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[np.int64]:
        epsilon = epsilon_at(self.hyperparameters, self.progress) if explore else 0.0
        return self._choose(observation, epsilon, service)

    def _choose(self, observation: Any, epsilon: float, service: int | None) -> NDArray[np.int64]:
        return self.q_functions[0].choose(observation, epsilon, self.rng, service)

    # Learning: remember the step, then learn from it and from earlier ones.

    def update(self, transition: Transition) -> float:
        """Remember one step, take ``hyperparameters.updates`` gradient steps, and return their mean loss."""
        reward = self._reward(np.asarray(transition.reward, dtype=np.float64))
        self.reward_scale.add(reward)
        self.replay.add(transition._replace(reward=reward))
        learning_rate = learning_rate_at(self.hyperparameters, self.progress)
        losses = []
        for _ in range(self.hyperparameters.updates):
            batch = self.replay.sample(self.hyperparameters.batch_size, self.rng)
            # With gamma, taking the mean off the rewards would change which action is best.
            scaled = self.reward_scale.standardise(batch.reward, centred=self.hyperparameters.gamma == 0)
            losses.append(self._learn(batch, scaled, learning_rate))
        return float(np.mean(losses))

    def _reward(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what to learn from the services' rewards."""
        return rewards

    def _learn(self, batch: Transition, reward: Tensor, learning_rate: float) -> float:
        """Take a gradient step of each Q-function, with scaled rewards of shape (N, [n]); return the mean loss."""
        q = self.q_functions[0]
        loss, _ = q.learn(batch, self._target(q, batch, reward), learning_rate)
        return loss

    def _target(self, q: QFunction, batch: Transition, reward: Tensor) -> Tensor:
        """Return ``reward + gamma * value of the next observation``; it has no value if the episode terminated."""
        if not self.hyperparameters.gamma:
            return reward
        goes_on = torch.as_tensor(~np.asarray(batch.terminated, dtype=bool))
        following = q.value(batch.next_observation)
        return reward + self.hyperparameters.gamma * following * goes_on.reshape(-1, *[1] * (following.ndim - 1))

    @property
    def progress(self) -> float:
        """Share of the training's interactions that are done, 0..1."""
        return min(self.replay.added / self.hyperparameters.horizon, 1.0)

    # Keeping: the best policy so far, and files.

    def remember(self) -> None:
        self.best_weights = [copy.deepcopy(q.network.state_dict()) for q in self.q_functions]

    def best(self) -> Self:
        """See :meth:`Agent.best`; returns a copy."""
        twin = copy.deepcopy(self)
        for q, weights in zip(twin.q_functions, self.best_weights, strict=False):
            q.network.load_state_dict(weights)
        return twin

    def save(self, path: str | Path) -> Path:
        """Write one ``.npz`` file with everything needed to continue training: weights, replay, generators."""
        return write_arrays(path, self.to_arrays())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        with checkpoint.reading(path) as arrays:
            return cls.from_arrays(arrays)

    def to_arrays(self) -> Arrays:
        """Return the whole agent as arrays without objects."""
        return checkpoint.to_arrays(self)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Make an agent from what :meth:`to_arrays` returned."""
        return checkpoint.from_arrays(cls, arrays)


def epsilon_at(hyperparameters: Hyperparameters, progress: float) -> float:
    """Return the share of random actions after ``progress`` (0..1) of the training: it falls on a line."""
    done = min(progress / hyperparameters.exploration, 1) if hyperparameters.exploration else 1
    return hyperparameters.epsilon + done * (hyperparameters.final_epsilon - hyperparameters.epsilon)


def learning_rate_at(hyperparameters: Hyperparameters, progress: float) -> float:
    """Return the learning rate after ``progress`` (0..1) of the training: it falls on a cosine."""
    done = (1 - math.cos(math.pi * min(progress, 1))) / 2
    return hyperparameters.learning_rate + done * (hyperparameters.final_learning_rate - hyperparameters.learning_rate)

"""Environments: learn to act in one; the score is the share of the oracle's reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from meshagents.agent import Agent
from meshagents.benchmark.budgets import INTERACTIONS
from meshagents.benchmark.kinds import Choose, Method, trained_dqn
from meshagents.learners.hyperparameters import Hyperparameters
from meshgym.scenarios import load_scenario

FloatArray = NDArray[np.float64]
_LEARNER = Hyperparameters()


@dataclass(frozen=True)
class EnvTask:
    """Learn to act in an environment; the score is the share of the oracle's reward on its contexts.

    Attributes:
        name: of the task.
        scenario: S1..S5.
        options: of ``gymnasium.make``.
        held_out: whether a method trains under one half of the rules and is scored under the other.
    """

    kind = "environment"
    name: str
    scenario: str
    options: Mapping[str, Any] = field(default_factory=dict)
    held_out: bool = False

    @cached_property
    def env(self) -> Any:
        """The environment, for its tables of rewards."""
        return gym.make("meshgym:MeshResilience-v0", scenario=self.scenario, flat=True, **self.options).unwrapped

    @cached_property
    def _halves(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows = np.random.default_rng(0).permutation(len(load_scenario(self.scenario).rule_grid()))
        return np.sort(rows[::2]), np.sort(rows[1::2])

    def make_envs(self, num_envs: int) -> VectorEnv[Any, Any, Any]:
        """Return the environments to train in, batched."""
        more: dict[str, Any] = dict(self.options)
        if self.held_out:
            more["contexts"] = load_scenario(self.scenario).rule_grid()[self._halves[0]]
        return gym.make_vec("meshgym:MeshResilience-v0", num_envs=num_envs, scenario=self.scenario, flat=True, **more)

    def make_env(self, steps: int) -> gym.Env[Any, Any]:
        """Return one environment with episodes of so many steps."""
        return gym.make(
            "meshgym:MeshResilience-v0", scenario=self.scenario, flat=True, max_episode_steps=steps, **self.options
        )

    def table(self, training: bool = False) -> tuple[Any, FloatArray]:
        """Return observations and the expected reward of every action, of the contexts that count, or of training's."""
        rows = self._halves[0 if training else 1] if self.held_out else None
        seen, rewards = self.env.reward_table(rows)
        return seen, rewards

    def train_dqn(self, seed: int, part: int) -> Agent:
        """Return the project's DQN after one part in ``part`` of the budget."""
        epochs = INTERACTIONS // part // _LEARNER.interactions
        return trained_dqn(self.make_envs, replace(_LEARNER, epochs=epochs), seed)

    def score(self, choose: Choose) -> float:
        """Return a policy's share of the oracle's reward.

        Args:
            choose: from observations, shape (n, inputs), to actions, shape (n,).
        """
        seen, rewards = self.table()
        return share(rewards, choose(seen))


def share(rewards: FloatArray, chosen: Any) -> float:
    """Return the share of the best reward that actions get, given the rewards of all, shape (n, actions)."""
    actions = np.asarray(chosen, dtype=np.int64)
    return float(rewards[np.arange(len(rewards)), actions].mean() / rewards.max(axis=1).mean())


def chance(rewards: FloatArray) -> float:
    """Return the share of the best reward that actions drawn at random get, on average over all draws."""
    return float(rewards.mean() / rewards.max(axis=1).mean())


def random_actions(task: EnvTask, seed: int, part: int) -> float:
    """Score actions drawn at random, on average over all draws."""
    return chance(task.table()[1])


def fixed_action(task: EnvTask, seed: int, part: int) -> float:
    """Score the one action that is best on average in training, whatever the context."""
    best = int(task.table(training=True)[1].mean(axis=0).argmax())
    return task.score(lambda seen: np.full(len(seen), best))


def dqn(task: EnvTask, seed: int, part: int) -> float:
    """Score the project's DQN."""
    return task.score(task.train_dqn(seed, part).act)


METHODS: dict[str, Method] = {"random": random_actions, "fixed": fixed_action, "DQN": dqn}

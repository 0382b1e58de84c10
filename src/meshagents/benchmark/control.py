"""Control over time: set rules from interval to interval; the score is the share of calls served, less changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from meshagents.agent import Agent
from meshagents.benchmark.budgets import INTERACTIONS
from meshagents.benchmark.kinds import Choose, Method, trained_dqn
from meshagents.controllers import Controller, Panel, additive_increase, fixed, hysteresis, istio_defaults
from meshagents.learners.hyperparameters import Hyperparameters

#: Episodes that are scored: those of these seeds, the same for all methods.
_EPISODES, _FIRST_SEED = 256, 1_000_000
_INTERVALS = 20
#: Of the DQN, found with other seeds and episodes than those that count. An epoch has two whole episodes of each copy,
#: and the steps that only reset.
_LEARNER = Hyperparameters(
    num_envs=25,
    interactions=25 * 2 * (_INTERVALS + 1),
    gamma=0.5,
    width=256,
    frequencies=0,
    learning_rate=1e-3,
    adam_beta1=0.9,
    adam_beta2=0.99,
)


@dataclass(frozen=True)
class ControlTask:
    """Set rules from interval to interval, under one process of load.

    The score is the sum of rewards, which are 200s per second less the cost of changes, as a share of the calls that
    were sent per second. 1 would be no 503 and no change; nobody knows how much of it can be reached.

    Attributes:
        name: of the task.
        process: of the load, see :mod:`meshgym.processes`.
    """

    kind = "control"
    name: str
    process: str

    def make_envs(self, num_envs: int) -> VectorEnv[Any, Any, Any]:
        """Return the environments to train in, batched."""
        return gym.make_vec("meshgym:MeshControl-v0", num_envs=num_envs, flat=True, process=self.process)

    def make_env(self, steps: int) -> gym.Env[Any, Any]:
        """Return one environment; its episodes are as long as they are."""
        return gym.make("meshgym:MeshControl-v0", flat=True, process=self.process)

    @cached_property
    def panel(self) -> Panel:
        """What controllers read and set."""
        return Panel(gym.make("meshgym:MeshControl-v0", flat=True, process=self.process).unwrapped)

    def train_dqn(self, seed: int, part: int) -> Agent:
        """Return the project's DQN after one part in ``part`` of the budget."""
        epochs = max(INTERACTIONS // part // (_LEARNER.num_envs * 2 * _INTERVALS), 1)
        return trained_dqn(self.make_envs, replace(_LEARNER, epochs=epochs), seed)

    def score(self, choose: Choose) -> float:
        """Return a policy's score.

        Args:
            choose: from observations, shape (n, inputs), to flat actions, shape (n,).
        """
        return float(self.scores(choose, _EPISODES, _FIRST_SEED).mean())

    def scores(self, choose: Choose, episodes: int, first_seed: int) -> Any:
        """Return the score of each episode, shape (episodes,)."""
        return played(self.make_envs(episodes), choose, first_seed)


def played(envs: VectorEnv[Any, Any, Any], choose: Choose, seed: int) -> Any:
    """Return the score of one episode of each copy, shape (num_envs,), simulated or live."""
    observations, _ = envs.reset(seed=seed)
    gained = sent = np.zeros(envs.num_envs)
    for _ in range(_INTERVALS):
        observations, rewards, _, _, info = envs.step(np.asarray(choose(observations)))
        gained, sent = gained + rewards, sent + info["rate_per_s"]
    return gained / sent


def random_rules(task: ControlTask, seed: int, part: int) -> float:
    """Score rules that are drawn at random for each interval."""
    generator, count = np.random.default_rng(seed), int(task.make_envs(1).single_action_space.n)  # type: ignore[attr-defined]
    return task.score(lambda seen: generator.integers(count, size=len(seen)))


def fixed_rules(task: ControlTask, seed: int, part: int) -> float:
    """Score the rules that are best in training if they never change."""
    return task.score(fixed(task.panel, best_fixed(task, seed, part)))


def best_fixed(task: ControlTask, seed: int, part: int) -> int:
    """Return the rules that are best in training if they never change; each set has its share of the budget."""
    count = int(task.make_envs(1).single_action_space.n)  # type: ignore[attr-defined]
    copies = max(INTERACTIONS // part // _INTERVALS // count, 1)
    actions = np.repeat(np.arange(count), copies)
    means = task.scores(lambda seen: actions, len(actions), seed * len(actions)).reshape(count, copies).mean(axis=1)
    return int(means.argmax())


def _controller(make: Callable[[Panel], Controller]) -> Method:
    return lambda task, seed, part: task.score(make(task.panel))


def dqn(task: ControlTask, seed: int, part: int) -> float:
    """Score the project's DQN, with a discount."""
    return task.score(task.train_dqn(seed, part).act)


METHODS: dict[str, Method] = {
    "random": random_rules,
    "fixed": fixed_rules,
    "Istio's defaults": _controller(istio_defaults),
    "hysteresis": _controller(hysteresis),
    "additive increase": _controller(additive_increase),
    "DQN": dqn,
}

"""A tiny world whose best actions can be read off a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from meshagents import Hyperparameters
from meshagents.training.tasks import Task
from meshgym.testing import untrained_simulator


class Bandit(VectorEnv):
    """``rewards[context, action]`` or ``rewards[context, threads, calls]``; contexts are drawn, whatever is done.

    The observation is the context's number. Episodes are cut after ``length`` steps.
    """

    def __init__(self, rewards: Any, num_envs: int, length: int = 10**9, mode=AutoresetMode.NEXT_STEP) -> None:
        self.rewards = np.asarray(rewards, dtype=float)
        contexts, *actions = self.rewards.shape
        self.metadata = {"autoreset_mode": mode}
        self.num_envs, self.length = num_envs, length
        self.single_observation_space = Box(0, contexts - 1, (1,), np.float32)
        self.single_action_space = Discrete(actions[0]) if len(actions) == 1 else MultiDiscrete(actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def _draw(self):
        self.context = self.rng.integers(len(self.rewards), size=self.num_envs)
        return self.context[:, None].astype(np.float32)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.steps = 0
        return self._draw(), {}

    def step(self, actions):
        no = np.zeros(self.num_envs, dtype=bool)
        if self.steps == self.length:
            return self.reset()[0], np.zeros(self.num_envs), no, no, {}
        chosen = actions.T if self.rewards.ndim == 3 else (actions,)
        reward = self.rewards[(self.context, *chosen)]
        self.steps += 1
        return self._draw(), reward, no, no | (self.steps == self.length), {}


@pytest.fixture
def bandit():
    """The class above."""
    return Bandit


@pytest.fixture
def small():
    """Hyperparameters for tiny worlds."""
    return Hyperparameters(
        epochs=30, interactions=200, num_envs=50, batch_size=64, replay_size=2000, width=32, learning_rate=1e-2
    )


@pytest.fixture(scope="module")
def services(tmp_path_factory, shop_text):
    """The shop and its twin, with a simulator of their own each, as files."""
    folder = tmp_path_factory.mktemp("services")
    made = []
    for name in ("shop", "twin"):
        scenario = folder / f"{name}.toml"
        scenario.write_text(shop_text)
        made.append(Task(str(scenario), str(untrained_simulator(scenario).save(folder / f"{name}.npz"))))
    return tuple(made)


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny matrices are slower on many threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

"""Single, vector and parallel environments are the same environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import SyncVectorEnv

import meshgym  # noqa: F401 (registers the ids)
from meshgym.envs.spaces import CONTROLS


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("contexts", ["uniform", "walk"])
def test_vector_equals_single_environments_seeded_alike(shop: Any, simulator: Any, control: str, contexts: str) -> None:
    arguments = {"scenario": shop, "simulator": simulator, "control": control, "contexts": contexts}
    single = lambda: gym.make("MeshResilience-v0", max_episode_steps=700, **arguments)  # noqa: E731
    slow = SyncVectorEnv([single] * 3)
    fast = gym.make_vec("MeshResilience-v0", num_envs=3, max_episode_steps=700, **arguments)
    assert fast.observation_space == slow.observation_space
    assert fast.action_space == slow.action_space
    assert data_equivalence(fast.reset(seed=5), slow.reset(seed=5), exact=True)
    fast.action_space.seed(0)
    for _ in range(2200):  # over three ends of an episode and two blocks of contexts
        actions = fast.action_space.sample()
        assert data_equivalence(fast.step(actions), slow.step(actions), exact=True)

"""The checkers of Gymnasium, PettingZoo and Stable-Baselines3, and twins, over all variants, warnings as errors."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

from meshgym import aec_env, parallel_env
from meshgym.envs.spaces import CONTROLS
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator

#: What is on in a variant; each alone, and all together.
FLAGS = ("flat", "sample", "normalised", "regret")
VARIANTS = [(), *((flag,) for flag in FLAGS), FLAGS]
Make = Callable[..., Any]


@pytest.fixture
def make(shop: Scenario, simulator: Simulator) -> Make:
    def made(control: str, flags: tuple[str, ...], **more: Any) -> Any:
        arguments = {"scenario": shop, "simulator": simulator, "control": control, **dict.fromkeys(flags, True)}
        return gym.make("MeshResilience-v0", **arguments, **more)

    return made


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("flags", VARIANTS, ids="+".join)
def test_gymnasiums_checker_and_twins(make: Make, control: str, flags: tuple[str, ...]) -> None:
    check_env(make(control, flags).unwrapped)
    env, twin = (make(control, flags, outcomes="all") for _ in range(2))
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(20)]
    first = [env.reset(seed=3), *map(env.step, actions)]
    assert data_equivalence(first, [twin.reset(seed=3), *map(twin.step, actions)], exact=True)
    thawed = pickle.loads(pickle.dumps(env))
    assert data_equivalence([*map(thawed.step, actions)], [*map(env.step, actions)], exact=True)
    assert len(pickle.dumps(env)) < 2_000_000  # tables aren't in it


@pytest.mark.parametrize("flags", VARIANTS, ids="+".join)
def test_stable_baselines_checker(make: Make, flags: tuple[str, ...]) -> None:
    from stable_baselines3.common.env_checker import check_env as check
    from stable_baselines3.common.env_util import make_vec_env

    check(make("both", flags).unwrapped)
    check(make("calls", flags).unwrapped)
    envs = make_vec_env(lambda: make("both", flags, render_mode="rgb_array"), n_envs=2, seed=0)
    envs.reset()
    envs.step(np.array([envs.action_space.sample() for _ in range(2)]))


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("flags", VARIANTS, ids="+".join)
def test_a_batch_is_so_many_single_ones(
    shop: Scenario, simulator: Simulator, flags: tuple[str, ...], mode: AutoresetMode
) -> None:
    arguments: dict[str, Any] = {"scenario": shop, "simulator": simulator, "max_episode_steps": 5, "control": "both"}
    arguments |= dict.fromkeys(flags, True)
    slow = SyncVectorEnv([lambda: gym.make("MeshResilience-v0", **arguments)] * 2, autoreset_mode=mode)
    fast = gym.make_vec("MeshResilience-v0", num_envs=2, autoreset_mode=mode, **arguments)
    assert fast.single_observation_space == slow.single_observation_space
    assert data_equivalence(fast.reset(seed=1), slow.reset(seed=1), exact=True)
    fast.action_space.seed(0)
    for step in range(12):
        if mode is AutoresetMode.DISABLED and step % 5 == 0:
            options = {"reset_mask": np.array([True, True])}
            assert data_equivalence(fast.reset(options=options), slow.reset(options=options), exact=True)
        actions = fast.action_space.sample()
        assert data_equivalence(fast.step(actions), slow.step(actions), exact=True)


def test_stable_baselines_makes_vectors_of_live_environments(shop: Scenario, simulator: Simulator) -> None:
    from stable_baselines3.common.env_util import make_vec_env

    from meshgym.testing import FakeMesh

    arguments = {"scenario": shop, "mesh": FakeMesh(), "simulator": simulator}
    envs = make_vec_env("LiveIstio-v0", n_envs=2, seed=0, env_kwargs=arguments)
    envs.reset()
    _, rewards, _, _ = envs.step(np.array([1, 1]))
    assert rewards.shape == (2,)


@pytest.mark.parametrize(
    "flags",
    [flags for count in (0, 1, 2) for flags in itertools.combinations(("homogeneous", "sample", "normalised"), count)],
    ids="+".join,
)
def test_pettingzoos_checks_of_agents_that_act_at_once(
    shop: Scenario, simulator: Simulator, flags: tuple[str, ...]
) -> None:
    def make() -> Any:
        return parallel_env([shop, "S2"], simulators=[simulator, "S2"], **dict.fromkeys(flags, True))

    parallel_api_test(make(), num_cycles=12)
    parallel_seed_test(make)


@pytest.mark.parametrize("sample", [False, True])
def test_pettingzoos_checks_of_agents_in_turn(shop: Scenario, simulator: Simulator, sample: bool) -> None:
    def make() -> Any:
        return aec_env([shop], simulators=[simulator], sample=sample, regret=True)

    api_test(make(), num_cycles=12)
    seed_test(make, num_cycles=12)

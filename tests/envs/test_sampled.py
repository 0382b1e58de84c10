"""Sampled steps: drawn from the simulator's distributions, seeded, the same in every form."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import SyncVectorEnv

from meshgym import parallel_env
from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario
from meshgym.simulator import SimulatedMesh, Simulator, load_simulator

RULES = [15, 3, 12, 180, 6, 1, 5]


def played(seed: int, steps: int = 30, **arguments: Any) -> tuple[list[float], list[Any]]:
    """Return the rewards and observations of an environment of S3."""
    env = gym.make("MeshResilience-S3-v0", **arguments)
    observations, rewards = [env.reset(seed=seed)[0].tolist()], []
    for step in range(steps):
        observation, reward, *_ = env.step(step % 5)
        observations.append(observation.tolist())
        rewards.append(reward)
    return rewards, observations


def test_a_seed_fixes_draws_and_the_rules_are_as_without() -> None:
    first, again, other = (played(seed, sample=True) for seed in (1, 1, 2))
    plain = played(1)
    assert first == again
    assert first[1] == plain[1]
    assert first[0] != plain[0]
    assert first[0] != other[0]


@pytest.mark.parametrize("outcomes", [(), "all"])
@pytest.mark.parametrize("control", ["calls", "both"])
def test_many_copies_draw_as_single_ones(shop: Scenario, simulator: Simulator, control: str, outcomes: Any) -> None:
    arguments: dict[str, Any] = {"scenario": shop, "simulator": simulator, "control": control, "sample": True}
    arguments |= {"outcomes": outcomes, "max_episode_steps": 200, "regret": True, "normalised": True}
    slow = SyncVectorEnv([lambda: gym.make("MeshResilience-v0", **arguments)] * 3)
    fast = gym.make_vec("MeshResilience-v0", num_envs=3, **arguments)
    assert data_equivalence(fast.reset(seed=5), slow.reset(seed=5), exact=True)
    fast.action_space.seed(0)
    for _ in range(1100):  # over ends of episodes and that of a block of draws
        actions = fast.action_space.sample()
        assert data_equivalence(fast.step(actions), slow.step(actions), exact=True)


def test_draws_have_the_simulators_distribution() -> None:
    simulator = load_simulator("S3")
    vector = gym.make_vec(
        "MeshResilience-S3-v0", num_envs=500, control="both", contexts=[RULES], sample=True, max_episode_steps=100
    )
    vector.reset(seed=0)
    action = np.tile([6, 5], (500, 1))
    infos = [vector.step(action)[-1] for _ in range(40)]
    load = [infos[0][name][0] for name in ("threads", "calls")]
    names = simulator.identity.settings
    with SimulatedMesh(simulator, sample=True, seed=1) as mesh:
        response = mesh.measure_many(np.tile([*RULES, *load], (20_000, 1)), names)
    for name in ("qps", "p503"):
        drawn, wanted = np.concatenate([info[name] for info in infos]), getattr(response, name)
        levels = np.linspace(0.02, 0.98, 13)
        np.testing.assert_allclose(
            np.quantile(drawn, levels), np.quantile(wanted, levels), atol=0.12 * wanted.std() + 1e-6
        )
    qps, p503 = (np.concatenate([info[name] for info in infos]) for name in ("qps", "p503"))
    together = np.corrcoef(qps, p503)[0, 1]
    assert together == pytest.approx(np.corrcoef(response.qps, response.p503)[0, 1], abs=0.03)


def test_several_services_draw_too(shop: Scenario, simulator: Simulator) -> None:
    envs = [parallel_env([shop, shop], simulators=[simulator] * 2, sample=sample) for sample in (True, True, False)]
    found = []
    for env in envs:
        env.reset(seed=3)
        found.append([env.step(dict.fromkeys(env.agents, 1))[1] for _ in range(5)])
    assert found[0] == found[1] != found[2]


def test_a_seeded_mesh_draws_for_as_many_as_it_was_seeded_for(shop: Scenario, simulator: Simulator) -> None:
    with SimulatedMesh(simulator, sample=True, seed=0) as mesh:
        drawing = mesh.on_grid(shop)
    assert drawing.measure(0, 0, 0) != drawing.measure(0, 0, 0)
    assert drawing.expected.measure(0, 0, 0) == drawing.expected.measure(0, 0, 0)
    assert drawing.measure(*np.zeros((3, 4), int)).qps.shape == (4,)
    drawing.seed([np.random.default_rng(0), np.random.default_rng(1)])
    with pytest.raises(InvalidValueError, match="entries to draw is 4; allowed: 2, as seeded"):
        drawing.measure(*np.zeros((3, 4), int))

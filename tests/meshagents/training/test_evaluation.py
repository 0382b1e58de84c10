"""Yardsticks and the greedy policy, against sums that can be done by hand."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import meshgym  # noqa: F401 (registers the environments)
from meshagents import DQN, DependentPair, FixedAgent, Hyperparameters, RandomAgent, RewardGrid, Spaces, evaluate
from meshagents.policies import OracleAgent
from meshgym.errors import UnknownNameError
from meshgym.simulator import response_table

REWARDS = np.array([[[1, 2, 3], [6, 5, 4]], [[0, 9, 0], [4, 4, 4]]], np.float32)


@pytest.fixture
def grid():
    """Two rules, two threads, three calls."""
    return RewardGrid(np.arange(14.0).reshape(2, 7), np.array([1.0, 2]), np.array([10.0, 20, 30]), REWARDS, True)


@pytest.mark.parametrize(
    ("control", "action", "agent", "oracle", "fixed", "fixed_action"),
    [
        ("both", (1, 0), 5.0, 7.5, 5.5, (0, 1)),
        ("threads", 1, 4.5, (6 + 5 + 4 + 4 + 9 + 4) / 6, 4.5, 1),
        ("calls", 0, 2.75, (3 + 6 + 9 + 4) / 4, 5.0, 1),
    ],
)
def test_yardsticks_by_hand(grid, control, action, agent, oracle, fixed, fixed_action):
    found = evaluate(FixedAgent(action), grid, control)
    assert found.agent == pytest.approx(agent)
    assert found.oracle == pytest.approx(oracle)
    assert found.fixed == pytest.approx(fixed)
    assert found.fixed_action == fixed_action
    assert found.random == pytest.approx(REWARDS.mean())
    assert found.share == pytest.approx(agent / oracle)
    assert found.ratio == pytest.approx(agent / REWARDS.mean())


def test_best_fixed_action_is_reached_by_it(grid):
    for control in ("both", "threads", "calls"):
        found = (
            evaluate(FixedAgent(0), grid, control) if control != "both" else evaluate(FixedAgent((0, 0)), grid, control)
        )
        assert evaluate(FixedAgent(found.fixed_action), grid, control).agent == pytest.approx(found.fixed)


def test_views_show_rules_and_the_free_setting(grid):
    observations, rewards = grid.view("threads")
    assert observations.shape == (6, 8)
    np.testing.assert_array_equal(observations[4], [*grid.rules[1], 20])
    np.testing.assert_array_equal(rewards[4], REWARDS[1, :, 1])
    observations, rewards = grid.view("calls")
    np.testing.assert_array_equal(observations[1], [*grid.rules[0], 2])
    np.testing.assert_array_equal(rewards[1], REWARDS[0, 1])
    with pytest.raises(UnknownNameError, match="calls"):
        grid.view("call")


def test_large_grids_are_drawn_from(shop, simulator):
    table = response_table(simulator, shop)
    part, again = (RewardGrid.of_table(table, rules=10, seed=1) for _ in range(2))
    np.testing.assert_array_equal(part.rules, again.rules)
    assert len(np.unique(part.rules, axis=0)) == 10
    assert not part.complete
    assert RewardGrid.of_table(table).complete


@pytest.mark.parametrize("control", ["both", "threads", "calls"])
def test_grid_is_what_the_environment_pays(shop, simulator, control):
    grid = RewardGrid.of_table(response_table(simulator, shop))
    observations, rewards = grid.view(control)
    where = {tuple(row): number for number, row in enumerate(observations)}
    envs = gym.make_vec("MeshResilience-v0", num_envs=50, scenario=shop, simulator=simulator, control=control)
    observation, _ = envs.reset(seed=0)
    action = RandomAgent(Spaces.of_envs(envs), 0).act(observation)
    _, paid, *_ = envs.step(action)
    for seen, chosen, reward in zip(observation.round(6).tolist(), action, paid, strict=True):
        row = next(number for known, number in where.items() if np.allclose(known, seen))
        assert rewards[(row, *np.atleast_1d(chosen))] == pytest.approx(reward, rel=1e-5)


@pytest.mark.parametrize("control", ["both", "threads", "calls"])
def test_oracle_agent_has_all_of_it(shop, simulator, control):
    grid = RewardGrid.of_table(response_table(simulator, shop))
    found = evaluate(OracleAgent(simulator, shop, control), grid, control)
    assert found.share == pytest.approx(1, abs=1e-6)
    assert found.oracle >= found.fixed > found.random


def test_oracle_refuses_an_unknown_control(shop, simulator):
    with pytest.raises(UnknownNameError, match="threads"):
        OracleAgent(simulator, shop, "thread")


@pytest.mark.parametrize("kind", [DQN, DependentPair])
def test_untrained_agents_lie_between(grid, kind):
    control = "both" if kind is DependentPair else "calls"
    actions = gym.spaces.MultiDiscrete([2, 3]) if control == "both" else gym.spaces.Discrete(3)
    observations, rewards = grid.view(control)
    space = gym.spaces.Box(observations.min(0).astype(np.float32), observations.max(0).astype(np.float32))
    found = evaluate(kind(Spaces.of_spaces(space, actions), Hyperparameters(width=8), 0), grid, control)
    worst = rewards.reshape(len(rewards), -1).min(axis=1).mean()
    assert worst <= found.agent <= found.oracle

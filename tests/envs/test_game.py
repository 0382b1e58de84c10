"""A game of two over the same table as all environments."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test

import meshgym
from meshgym.envs.game import payoffs
from meshgym.errors import InvalidValueError
from meshgym.simulator import response_table


@pytest.fixture
def make(shop, simulator):
    return lambda **options: meshgym.game_env(shop, simulator=simulator, **options)


def test_it_passes_pettingzoos_tests(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(make(max_episode_steps=20), num_cycles=100)
        parallel_seed_test(make)


def test_what_one_gains_the_other_loses(make, shop, simulator):
    env, table = make(max_episode_steps=2), response_table(simulator, shop)
    env.reset()
    row, pace, calls = 17, 2, 3
    expected = table.measure(row, pace, calls)
    load = pace * len(shop.actions["calls"]) + calls
    seen, rewards, terminated, truncated, _ = env.step({"rules": row, "load": load})
    assert rewards["load"] == pytest.approx(expected.qps * expected.p503)
    assert rewards["rules"] == -rewards["load"]
    assert seen["rules"] == pytest.approx(load / 11)
    assert seen["load"] == pytest.approx(row / 107)
    assert not any(terminated.values())
    assert not any(truncated.values())
    assert all(env.step({"rules": 0, "load": 0})[3].values())
    assert env.agents == []


def test_payoffs_have_all_of_it(shop, simulator):
    found = payoffs(shop, simulator)
    assert found.shape == (108, 12)
    assert found[17, 11] == pytest.approx(make_reward(shop, simulator, 17, 2, 3))


def make_reward(shop, simulator, row, pace, calls):
    response = response_table(simulator, shop).measure(row, pace, calls)
    return response.qps * response.p503


def test_actions_that_cannot_be(make):
    env = make()
    with pytest.raises(InvalidValueError, match="reset"):
        env.step({"rules": 0, "load": 0})
    env.reset()
    with pytest.raises(InvalidValueError, match="action of load is 12"):
        env.step({"rules": 0, "load": 12})
    with pytest.raises(InvalidValueError, match="exactly rules, load"):
        env.step({"rules": 0})
    with pytest.raises(InvalidValueError, match="action of rules"):
        env.step({"rules": np.float64(0.5), "load": 1})

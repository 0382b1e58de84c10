"""The defender: rules as actions, loads as contexts; single and batched environments take the same step."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from meshgym.errors import InvalidValueError
from meshgym.simulator import response_table
from meshgym.testing import FakeMesh

FORMS = [{}, {"flat": True}, {"continuous": True}]


@pytest.fixture
def make(shop, simulator):
    """Make a defender of the shop, or several."""

    def single(num_envs=None, **options):
        options = {"scenario": shop, "simulator": simulator, "control": "rules", **options}
        if num_envs:
            return gym.make_vec("meshgym:MeshResilience-v0", num_envs=num_envs, **options).unwrapped
        return gym.make("meshgym:MeshResilience-v0", **options)

    return single


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("more", [{}, {"normalised": True, "regret": True}, {"sample": True}], ids=str)
def test_it_passes_gymnasiums_checker(make, form, more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(**form, **more, render_mode="ansi").unwrapped, skip_render_check=False)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_batch_equals_single_ones(make, form):
    batch, singles = make(3, **form, regret=True), [make(**form, regret=True) for _ in range(3)]
    observations, infos = batch.reset(seed=7)
    begun = [env.reset(seed=7 + i) for i, env in enumerate(singles)]
    batch.action_space.seed(0)
    for _ in range(50):
        for i, (observation, info) in enumerate(begun):
            np.testing.assert_array_equal(observations[i], observation)
            assert all(np.array_equal(infos[name][i], value) for name, value in info.items())
        actions = batch.action_space.sample()
        observations, rewards, _, _, infos = batch.step(actions)
        stepped = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        assert rewards.tolist() == [one[1] for one in stepped]
        begun = [(one[0], one[4]) for one in stepped]


def test_a_step_is_the_response_to_the_rules_chosen_and_the_load_met(make, shop, simulator):
    env, table = make(flat=True).unwrapped, response_table(simulator, shop)
    observation, info = env.reset(seed=3)
    assert info["rules"].tolist() == [0] * len(shop.rules)
    for row in (0, 5, 107):
        threads, calls = observation.tolist()
        observation, reward, _, _, info = env.step(row)
        assert (info["threads"], info["calls"]) == (threads, calls)
        np.testing.assert_array_equal(info["rules"], shop.rule_grid()[row])
        at = [shop.actions[name].index(int(value)) for name, value in (("threads", threads), ("calls", calls))]
        expected = table.measure(row, *at)
        assert reward == expected.qps * expected.p503


def test_all_loads_are_met(make, shop):
    env = make(flat=True).unwrapped
    seen = {tuple(env.reset(seed=seed)[0].tolist()) for seed in range(300)}
    assert seen == {(t, c) for t in shop.actions["threads"] for c in shop.actions["calls"]}
    chosen = make(contexts=[[2, 20], [4, 40]]).unwrapped
    assert {tuple(chosen.reset(seed=seed)[0].tolist()) for seed in range(20)} == {(2, 20), (4, 40)}
    with pytest.raises(InvalidValueError, match="threads in contexts is 3"):
        make(contexts=[[3, 20]])


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_oracle_is_the_best_of_all_rules(make, shop, form):
    env = make(**form, reward="best_case", regret=True).unwrapped
    observation, _ = env.reset(seed=1)
    action, best = env.oracle(observation)
    surface = env.reward_surface(observation)
    varying = [len(span.values) for span in shop.rules.values() if len(span.values) > 1]
    assert surface.shape == tuple(varying)
    assert best == surface.max()
    _, reward, _, _, info = env.step(action)
    assert (reward, info["regret"]) == (best, 0)
    assert env.actions.encode(**env.actions.decode(action)) == pytest.approx(action)


def test_actions_that_cannot_be(make):
    for form, wrong in (({}, [0] * 9), ({}, [99] * 4), ({"flat": True}, 108), ({"flat": True}, 1.0)):
        env = make(**form).unwrapped
        env.reset(seed=0)
        with pytest.raises(InvalidValueError, match="action"):
            env.step(np.array(wrong))
    env = make(continuous=True).unwrapped
    env.reset(seed=0)
    width = env.action_space.shape[0]
    for wrong in (np.full(width, 1.5), np.full(width, np.nan), np.full(width, "a")):
        with pytest.raises(InvalidValueError, match="action"):
            env.step(wrong)
    assert env.actions.decode(np.ones(width)) == {name: values[-1] for name, values in env.actions.values.items()}
    with pytest.raises(InvalidValueError, match="one of them"):
        make(flat=True, continuous=True)
    with pytest.raises(InvalidValueError, match="False unless the agent controls 'rules'"):
        make(control="both", continuous=True)


def test_it_is_drawn(make, shop):
    env = make(render_mode="ansi")
    env.reset(seed=0)
    assert "threads " in env.render()
    env.step(env.action_space.sample())
    assert "[" in env.render()
    image = make(render_mode="rgb_array")
    image.reset(seed=0)
    image.step(image.action_space.sample())
    assert image.render().shape == (500, 800, 3)


def test_on_a_live_mesh(shop):
    mesh = FakeMesh()
    env = gym.make("meshgym:LiveIstio-v0", scenario=shop, control="rules", mesh=mesh, render_mode="ansi")
    observation, _ = env.reset(seed=0)
    assert "threads" in env.render()
    action = env.action_space.sample()
    _, _, _, _, info = env.step(action)
    rules, load = mesh.measured[-1]
    assert [load.threads, load.calls] == observation.tolist()
    assert info["rules"].tolist() == list(rules.to_dict().values())
    assert env.unwrapped.actions.decode(action).items() <= rules.to_dict().items()

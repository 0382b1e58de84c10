"""Infos have the same keys and types from reset on, regret and oracle are those of all actions, rewards see runs."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from meshgym import aec_env, parallel_env
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.rewards import REWARDS, Run, register_reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.testing import FakeMesh


def per_call(run: Run) -> Any:
    return run.response.qps * run.response.p503 / run.load["calls"] + run.rules["max_connections"]


def broken(run: Run) -> Any:
    return run.response.qps * np.nan


def types(info: dict[str, Any]) -> dict[str, Any]:
    return {name: (value.dtype, value.shape) for name, value in info.items()}


@pytest.mark.parametrize("outcomes", [(), "all"])
def test_an_info_has_one_form(shop: Scenario, simulator: Simulator, outcomes: Any) -> None:
    arguments: dict[str, Any] = {"scenario": shop, "simulator": simulator, "outcomes": outcomes, "regret": True}
    env = gym.make("MeshResilience-v0", **arguments)
    _, first = env.reset(seed=0)
    *_, info = env.step(0)
    assert types(first) == types(info)
    assert first["threads"] == first["calls"] == first["qps"] == 0
    vector = gym.make_vec("MeshResilience-v0", num_envs=2, **arguments)
    _, first = vector.reset(seed=0)
    *_, info = vector.step(np.array([0, 0]))
    assert types(first) == types(info)


def test_every_agent_has_it_too(shop: Scenario, simulator: Simulator) -> None:
    arguments: dict[str, Any] = {"services": [shop], "simulators": [simulator], "outcomes": "all", "regret": True}
    env = parallel_env(**arguments)
    _, first = env.reset(seed=0)
    *_, infos = env.step(dict.fromkeys(env.agents, 0))
    for agent in env.agents:
        assert types(first[agent]) == types(infos[agent])
    turns = aec_env(**arguments)
    turns.reset(seed=0)
    assert {agent: types(info) for agent, info in turns.infos.items()} == {a: types(i) for a, i in first.items()}


@pytest.mark.parametrize("control", ["threads", "calls", "both"])
def test_regret_is_what_the_best_action_would_have_got_more(shop: Scenario, simulator: Simulator, control: str) -> None:
    env = gym.make("MeshResilience-v0", scenario=shop, simulator=simulator, control=control, regret=True)
    observation, _ = env.reset(seed=4)
    env.action_space.seed(0)
    for _ in range(20):
        best, most = env.unwrapped.oracle(observation)
        surface = env.unwrapped.reward_surface()
        assert surface.shape == (3, 4)
        assert most <= surface.max()
        assert control != "both" or most == surface.max()
        action = env.action_space.sample()
        observation, reward, *_, info = env.step(action)
        assert info["oracle_reward"] == pytest.approx(most)
        assert info["regret"] == pytest.approx(most - reward)
        assert info["regret"] >= 0
    best, most = env.unwrapped.oracle()
    assert env.step(best)[1] == pytest.approx(most)


def test_a_context_that_there_is_not(shop: Scenario, simulator: Simulator) -> None:
    env = gym.make("MeshResilience-v0", scenario=shop, simulator=simulator)
    with pytest.raises(InvalidValueError, match="before reset"):
        env.unwrapped.oracle()
    for wrong in ([1, 2], [99] * 8):
        with pytest.raises(InvalidValueError, match="an observation of this environment"):
            env.unwrapped.reward_surface(wrong)


def test_normalised_observations_are_the_same_ones_from_0_to_1(shop: Scenario, simulator: Simulator) -> None:
    plain, scaled = (
        gym.make("MeshResilience-v0", scenario=shop, simulator=simulator, normalised=value) for value in (False, True)
    )
    low, high = plain.observation_space.low, plain.observation_space.high
    pairs = [(plain.reset(seed=1)[0], scaled.reset(seed=1)[0])]
    for _ in range(10):
        one, other = plain.step(0), scaled.step(0)
        assert one[1] == other[1]
        assert np.array_equal(one[-1]["rules"], other[-1]["rules"])
        pairs.append((one[0], other[0]))
    for one, other in pairs:
        np.testing.assert_allclose((one - low) / (high - low), other, atol=1e-6)
        assert scaled.observation_space.contains(other)
    assert plain.unwrapped.oracle(pairs[3][0]) == scaled.unwrapped.oracle(pairs[3][1])


def test_a_reward_may_see_the_whole_run(shop: Scenario, simulator: Simulator) -> None:
    arguments: dict[str, Any] = {"scenario": shop, "simulator": simulator, "reward": f"{__name__}:per_call"}
    env = gym.make("MeshResilience-v0", **arguments)
    env.reset(seed=0)
    _, reward, *_, info = env.step(2)
    connections = info["rules"][shop.rule_names.index("max_connections")]
    assert reward == pytest.approx(info["qps"] * info["p503"] / info["calls"] + connections)
    vector = gym.make_vec("MeshResilience-v0", num_envs=3, **arguments)
    vector.reset(seed=[0, 0, 0])
    assert vector.step(np.array([2, 2, 2]))[1].tolist() == [reward] * 3
    bad = gym.make("MeshResilience-v0", **{**arguments, "reward": broken})
    bad.reset(seed=0)
    with pytest.raises(InvalidValueError, match=r"what the reward broken returned is .*finite"):
        bad.step(0)


def test_a_spec_with_a_named_reward_is_text() -> None:
    env = gym.make("MeshResilience-S2-v0", reward=f"{__name__}:per_call")
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    for one in (env, again):
        one.reset(seed=0)
    assert env.step(1)[1] == again.step(1)[1]


def test_rewards_are_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("worst_case", "per call"):
        with pytest.raises(InvalidValueError, match="name of a reward"):
            register_reward(name, per_call)
    monkeypatch.setattr("meshgym.rewards.REWARDS", dict(REWARDS))
    register_reward("per_call", per_call)
    env = gym.make("MeshResilience-S2-v0", reward="per_call")
    env.reset(seed=0)
    assert np.isfinite(env.step(0)[1])
    for wrong, error in (
        ("no.module:f", InvalidValueError),
        ("math:nothing", InvalidValueError),
        ("x", UnknownNameError),
    ):
        with pytest.raises(error):
            gym.make("MeshResilience-S2-v0", reward=wrong)


def test_agents_that_differ_can_have_the_same_spaces(shop: Scenario, simulator: Simulator) -> None:
    env = parallel_env([shop, "S5"], simulators=[simulator, "S5"], homogeneous=True)
    spaces = {str((env.observation_space(agent), env.action_space(agent))) for agent in env.possible_agents}
    assert len(spaces) == 1
    observations, infos = env.reset(seed=0)
    plain = parallel_env([shop, "S5"], simulators=[simulator, "S5"])
    seen, _ = plain.reset(seed=0)
    for place, agent in enumerate(env.agents):
        assert env.observation_space(agent).contains(observations[agent])
        assert observations[agent][-4:].tolist() == np.eye(4)[place].tolist()
        assert np.array_equal(observations[agent][: len(seen[agent])], seen[agent])
        assert infos[agent]["action_mask"].sum() == plain.action_space(agent).n
    most = env.action_space("threads_0").n - 1
    last = {agent: int(plain.action_space(agent).n) - 1 for agent in plain.agents}
    assert env.step(dict.fromkeys(env.agents, most))[1] == plain.step(last)[1]
    with pytest.raises(InvalidValueError, match="action for threads"):
        env.step(dict.fromkeys(env.agents, most + 1))


def test_services_may_have_rewards_and_contexts_of_their_own(shop: Scenario, simulator: Simulator) -> None:
    arguments: dict[str, Any] = {"services": [shop, shop], "simulators": [simulator] * 2, "beta": 0.0}
    rules = [[float(span.low) for span in shop.rules.values()]]
    env = parallel_env(**arguments, reward=("worst_case", "best_case"), contexts=("uniform", rules))
    env.reset(seed=0)
    _, rewards, _, _, infos = env.step(dict.fromkeys(env.agents, 1))
    assert rewards["calls_0"] == infos["calls_0"]["qps"] * infos["calls_0"]["p503"]
    assert rewards["calls_1"] == infos["calls_1"]["qps"] * infos["calls_1"]["p200"]
    assert infos["calls_1"]["rules"].tolist() == rules[0]
    with pytest.raises(InvalidValueError, match="number of reward is 3; allowed: one per service: 2"):
        parallel_env(**arguments, reward=("worst_case",) * 3)


def test_several_services_on_live_meshes(shop: Scenario) -> None:
    env = parallel_env([shop, shop], meshes=[FakeMesh(), FakeMesh()])
    env.reset(seed=0)
    _, rewards, _, _, infos = env.step(dict.fromkeys(env.agents, 1))
    assert infos["calls_0"]["qps"] > 0
    assert np.isnan(infos["calls_0"]["qps_std"])
    assert rewards["calls_0"] == 1.25 * infos["calls_0"]["qps"] * infos["calls_0"]["p503"] + 0.25 * (
        infos["calls_1"]["qps"] * infos["calls_1"]["p503"]
    )
    for wrong in ({"sample": True}, {"simulators": [None, None]}):
        with pytest.raises(InvalidValueError, match="none together with"):
            parallel_env([shop, shop], meshes=[FakeMesh(), FakeMesh()], **wrong)
    with pytest.raises(InvalidValueError, match="Nobody knows"):
        parallel_env([shop], meshes=[FakeMesh()], regret=True)

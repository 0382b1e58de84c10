"""Single, vector and parallel environments, and the dependent one, are the same environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from meshgym import aec_env, parallel_env, parallel_vector_env
from meshgym.envs.contexts import CONTEXT_NAMES
from meshgym.envs.spaces import CONTROLS
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.rewards import REWARDS, share_between_services
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator

Arguments = dict[str, Any]
some_arguments = st.fixed_dictionaries(
    {
        "control": st.sampled_from(CONTROLS),
        "reward": st.sampled_from(sorted(REWARDS)),
        "contexts": st.sampled_from([name for name in CONTEXT_NAMES if name != "traces"]),
    }
)
seeds = st.integers(0, 2**31)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
@pytest.mark.parametrize("control", ["calls", "both"])
def test_each_autoreset_mode_is_gymnasiums(shop: Scenario, simulator: Simulator, control: str, mode: str) -> None:
    arguments: Arguments = {"scenario": shop, "simulator": simulator, "control": control, "max_episode_steps": 7}
    slow = SyncVectorEnv([lambda: gym.make("MeshResilience-v0", **arguments)] * 3, autoreset_mode=mode)
    fast = gym.make_vec("MeshResilience-v0", num_envs=3, autoreset_mode=mode, **arguments)
    assert fast.metadata["autoreset_mode"] == slow.metadata["autoreset_mode"]
    assert data_equivalence(fast.reset(seed=5), slow.reset(seed=5), exact=True)
    fast.action_space.seed(0)
    for _ in range(30):
        actions = fast.action_space.sample()
        assert data_equivalence(fast.step(actions), slow.step(actions), exact=True)


def test_without_autoreset_all_copies_are_reset_together(shop: Scenario, simulator: Simulator) -> None:
    arguments: Arguments = {"scenario": shop, "simulator": simulator, "max_episode_steps": 3}
    slow = SyncVectorEnv([lambda: gym.make("MeshResilience-v0", **arguments)] * 2, autoreset_mode="Disabled")
    fast = gym.make_vec("MeshResilience-v0", num_envs=2, autoreset_mode="Disabled", **arguments)
    assert data_equivalence(fast.reset(seed=1), slow.reset(seed=1), exact=True)
    for _ in range(3):
        ended = fast.step(np.array([0, 1]))
        assert data_equivalence(ended, slow.step(np.array([0, 1])), exact=True)
    with pytest.raises(InvalidValueError, match="after the end of an episode"):
        fast.step(np.array([0, 1]))
    with pytest.raises(InvalidValueError, match="reset_mask"):
        fast.reset(options={"reset_mask": np.array([True, False])})
    mask = ended[2] | ended[3]
    assert data_equivalence(
        fast.reset(options={"reset_mask": mask}), slow.reset(options={"reset_mask": mask}), exact=True
    )


def test_copies_share_their_attributes(shop: Scenario, simulator: Simulator) -> None:
    fast = gym.make_vec("MeshResilience-v0", num_envs=2, scenario=shop, simulator=simulator, render_mode="ansi")
    fast.reset(seed=3)
    assert fast.unwrapped.np_random_seed == (3, 4)
    assert fast.unwrapped.get_attr("max_episode_steps") == (1000, 1000)
    assert len(fast.unwrapped.call("render")) == 2
    fast.unwrapped.set_attr("max_episode_steps", [5, 5])
    assert fast.unwrapped.call("max_episode_steps") == (5, 5)
    with pytest.raises(InvalidValueError, match="the same value 2 times"):
        fast.unwrapped.set_attr("max_episode_steps", [5, 6])
    with pytest.raises(UnknownNameError, match="Disabled, NextStep, SameStep"):
        gym.make_vec("MeshResilience-v0", num_envs=2, scenario=shop, simulator=simulator, autoreset_mode="Never")


def test_a_flat_action_is_the_pair_it_stands_for(shop: Scenario, simulator: Simulator) -> None:
    arguments: Arguments = {"scenario": shop, "simulator": simulator, "control": "both"}
    pairs, flat = (gym.make("MeshResilience-v0", **arguments, flat=value) for value in (False, True))
    batch = gym.make_vec("MeshResilience-v0", num_envs=2, flat=True, **arguments)
    assert flat.action_space == gym.spaces.Discrete(12)
    for env in (pairs, flat):
        env.reset(seed=0)
    batch.reset(seed=[0, 0])
    for action in range(12):
        one, other = pairs.step([action // 4, action % 4]), flat.step(action)
        assert data_equivalence(one, other, exact=True)
        assert flat.unwrapped.actions.encode(**flat.unwrapped.actions.decode(action)) == action
        observations, rewards, *_ = batch.step(np.array([action, action]))
        assert np.array_equal(observations[1], one[0])
        assert rewards[1] == one[1]
    for wrong in (12, -1, 1.5):
        with pytest.raises(InvalidValueError, match=r"a whole number 0\.\.11"):
            flat.step(wrong)
    with pytest.raises(InvalidValueError, match=r"whole numbers 0\.\.11"):
        batch.step(np.array([0, 12]))


@pytest.mark.parametrize(("control", "contexts"), [("threads", "uniform"), ("calls", "walk"), ("both", "uniform")])
def test_vector_equals_single_environments_seeded_alike(
    shop: Scenario, simulator: Simulator, control: str, contexts: str
) -> None:
    arguments: Arguments = {"scenario": shop, "simulator": simulator, "control": control, "contexts": contexts}
    arguments |= {"max_episode_steps": 500, "outcomes": "all" if control == "both" else ()}
    slow = SyncVectorEnv([lambda: gym.make("MeshResilience-v0", **arguments)] * 2)
    fast = gym.make_vec("MeshResilience-v0", num_envs=2, **arguments)
    assert fast.observation_space == slow.observation_space
    assert fast.action_space == slow.action_space
    assert data_equivalence(fast.reset(seed=5), slow.reset(seed=5), exact=True)
    fast.action_space.seed(0)
    for _ in range(1100):  # over two ends of an episode and one of a block of contexts
        actions = fast.action_space.sample()
        assert data_equivalence(fast.step(actions), slow.step(actions), exact=True)
    assert data_equivalence(fast.reset(), slow.reset(), exact=True)
    assert data_equivalence(fast.reset(seed=[3, 9]), slow.reset(seed=[3, 9]), exact=True)


@settings(max_examples=25, deadline=None)
@given(arguments=some_arguments, seed=seeds, data=st.data())
def test_single_vector_and_parallel_agree_under_the_same_joint_action(
    shop: Scenario, simulator: Simulator, arguments: Arguments, seed: int, data: st.DataObject
) -> None:
    single = gym.make("MeshResilience-v0", scenario=shop, simulator=simulator, **arguments)
    vector = gym.make_vec("MeshResilience-v0", num_envs=3, scenario=shop, simulator=simulator, **arguments)
    parallel = parallel_env([shop], simulators=[simulator], **arguments)
    actions = single.unwrapped.actions
    starts = [single.reset(seed=seed)[0], vector.reset(seed=seed)[0][0], *parallel.reset(seed=seed)[0].values()]
    assert all(data_equivalence(start, starts[0], exact=True) for start in starts)
    for _ in range(data.draw(st.integers(1, 6))):
        joint = {agent: data.draw(st.integers(0, int(parallel.action_space(agent).n) - 1)) for agent in parallel.agents}
        action = list(joint.values()) if len(joint) > 1 else next(iter(joint.values()))
        observation, reward, _, _, info = single.step(action)
        observations, rewards, _, _, infos = vector.step(np.array([action] * 3))
        seen, shared, _, _, by_agent = parallel.step(joint)
        assert data_equivalence(observations[0], observation, exact=True)
        assert rewards[0] == reward
        assert all(data_equivalence(infos[name][0].tolist(), np.asarray(info[name]).tolist()) for name in info)
        for agent in joint:
            assert data_equivalence(
                (seen[agent], shared[agent], by_agent[agent]), (observation, reward, info), exact=True
            )
        assert actions.decode(action).items() <= info.items()


@settings(max_examples=15, deadline=None)
@given(seed=seeds, first=st.sampled_from(["threads", "calls"]), beta=st.sampled_from([0.0, 0.5, 2.0]), data=st.data())
def test_dependent_agents_get_what_parallel_ones_get(
    shop: Scenario, simulator: Simulator, seed: int, first: str, beta: float, data: st.DataObject
) -> None:
    second = "calls" if first == "threads" else "threads"
    arguments: Arguments = {"services": [shop, shop], "simulators": [simulator] * 2, "beta": beta}
    parallel = parallel_env(**arguments)
    aec = aec_env(order=(first, second), **arguments)
    rules, _ = parallel.reset(seed=seed)
    aec.reset(seed=seed)
    for _ in range(3):
        joint = {agent: data.draw(st.integers(0, int(aec.action_space(agent).n) - 1)) for agent in aec.agents}
        for i in range(2):
            leader, follower = f"{first}_{i}", f"{second}_{i}"
            values = shop.actions[first]
            assert aec.agent_selection == leader
            assert aec.observe(leader).tolist() == [*rules[leader], 0]
            assert aec.observe(follower).tolist() == [*rules[follower], 0]
            aec.step(joint[leader])
            assert aec.agent_selection == follower
            assert aec.last()[0].tolist() == [*rules[follower], values[joint[leader]]]
            aec.step(joint[follower])
        rules, rewards, _, _, infos = parallel.step(joint)
        assert aec.rewards == {agent: rewards[agent] for agent in aec.agents}
        assert data_equivalence(aec.infos, {agent: infos[agent] for agent in aec.agents}, exact=True)


def test_services_share_rewards_as_equation_8(shop: Scenario, simulator: Simulator) -> None:
    single = [gym.make("MeshResilience-v0", scenario=shop, simulator=simulator, control="both") for _ in range(3)]
    for i, env in enumerate(single):
        env.reset(seed=11 + i)
    own = np.array([env.step([1, 2])[1] for env in single])
    parallel = parallel_env([shop] * 3, simulators=[simulator] * 3, beta=0.25)
    parallel.reset(seed=11)
    _, rewards, *_ = parallel.step({agent: 1 if agent.startswith("threads") else 2 for agent in parallel.agents})
    shared = share_between_services(own, 0.25)
    assert rewards == {f"{name}_{i}": shared[i] for i in range(3) for name in ("threads", "calls")}
    assert len(set(own)) == 3


def test_the_state_is_what_all_services_show(shop: Scenario, simulator: Simulator) -> None:
    env = parallel_env([shop, shop], control="calls", simulators=[simulator, simulator])
    with pytest.raises(InvalidValueError, match="before reset"):
        env.state()
    observations, _ = env.reset(seed=0)
    for _ in range(3):
        assert np.array_equal(env.state(), np.concatenate([observations["calls_0"], observations["calls_1"]]))
        assert env.state_space.contains(env.state())
        observations, *_ = env.step(dict.fromkeys(env.agents, 0))


def test_further_outcomes_are_those_that_were_asked_for(shop: Scenario, simulator: Simulator) -> None:
    def slow(qps: Any, p200: Any, p503: Any, latency_p99_s: Any) -> Any:
        return qps * latency_p99_s

    arguments: Arguments = {"scenario": shop, "simulator": simulator, "control": "calls"}
    every = gym.make("MeshResilience-v0", **arguments, outcomes="all")
    one = gym.make("MeshResilience-v0", **arguments, outcomes=["latency_p99_s"], reward=slow)
    none = gym.make("MeshResilience-v0", **arguments, reward=slow)
    infos, rewards = [], []
    for env in (every, one, none):
        env.reset(seed=0)
        _, reward, *_, info = env.step(1)
        infos.append(info)
        rewards.append(reward)
    assert set(infos[0]) - set(infos[2]) == set(simulator.further)
    assert set(infos[1]) - set(infos[2]) == {"latency_p99_s"}
    assert infos[0]["latency_p99_s"] == infos[1]["latency_p99_s"]
    assert rewards[1] == rewards[2] == infos[0]["qps"] * infos[0]["latency_p99_s"]
    for wrong in (["latency_p98_s"], ["qps"]):
        with pytest.raises(UnknownNameError, match="outcome"):
            gym.make("MeshResilience-v0", **arguments, outcomes=wrong)
    with pytest.raises(InvalidValueError, match="a list of names"):
        gym.make("MeshResilience-v0", **arguments, outcomes="latency_p99_s")


@pytest.mark.parametrize("arguments", [{}, {"control": "calls"}, {"sample": True, "regret": True, "outcomes": "all"}])
def test_copies_of_a_parallel_environment_are_so_many_of_them(
    shop: Scenario, simulator: Simulator, arguments: Arguments
) -> None:
    arguments = {"services": [shop, shop], "simulators": [simulator] * 2, "max_episode_steps": 4, **arguments}
    copies = parallel_vector_env(num_envs=3, **arguments)
    singles = [parallel_env(**arguments) for _ in range(3)]
    generator = np.random.default_rng(0)
    with pytest.raises(InvalidValueError, match="outside an episode"):
        copies.step({})
    many, ones = copies.reset(seed=9), [env.reset(seed=9 + copy) for copy, env in enumerate(singles)]
    assert copies.state().shape == (3, len(singles[0].state()))
    for _ in range(11):
        for agent in copies.agents:
            for copy, (observations, *_, infos) in enumerate(ones):
                assert np.array_equal(many[0][agent][copy], observations[agent])
                for name, value in infos[agent].items():
                    assert np.array_equal(many[-1][agent][name][copy], value, equal_nan=True)
        spaces = {agent: int(copies.action_space(agent).n) for agent in copies.agents}
        actions = {agent: generator.integers(most, size=3) for agent, most in spaces.items()}
        many = copies.step(actions)
        ones = [env.step({agent: own[copy] for agent, own in actions.items()}) for copy, env in enumerate(singles)]
        for agent in actions:
            assert many[1][agent].tolist() == [one[1][agent] for one in ones]
            assert many[3][agent].tolist() == [one[3][agent] for one in ones]
        if ones[0][3]["calls_0"]:
            for copy, one in enumerate(ones):
                assert np.array_equal(many[-1]["calls_0"]["final_obs"][copy], one[0]["calls_0"])
            ones = [(env.reset()[0], *one[1:]) for env, one in zip(singles, ones, strict=True)]
    with pytest.raises(InvalidValueError, match="agents with actions"):
        copies.step({"calls_0": [0, 0, 0]})

"""The checkers of Gymnasium and PettingZoo, and what they leave out, over the ids and their arguments."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from numpy.typing import NDArray
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

from meshgym import aec_env, parallel_env
from meshgym.envs.spaces import CONTROLS
from meshgym.errors import SimulatorError
from meshgym.rewards import REWARDS
from meshgym.scenarios import SCENARIO_NAMES, Scenario
from meshgym.simulator import Simulator, load_simulator
from meshgym.types import RULE_NAMES

Arguments = dict[str, Any]
ORDERS = [("threads", "calls"), ("calls", "threads")]
COMBINATIONS = [
    {"control": control, "reward": reward, "contexts": contexts, "render_mode": render_mode}
    for control, reward, contexts, render_mode in itertools.product(
        CONTROLS, REWARDS, ["uniform", "walk", "own"], [None, "ansi", "rgb_array"]
    )
]


def _bundled(name: str) -> Any:
    """The scenario's bundled simulator as a parameter, skipped where this version has none."""
    try:
        load_simulator(name)
    except SimulatorError as error:
        return pytest.param(name, marks=pytest.mark.skip(reason=str(error)))
    return name


@pytest.fixture(params=COMBINATIONS, ids=lambda one: "-".join(map(str, one.values())))
def arguments(request: pytest.FixtureRequest, shop: Scenario, simulator: Simulator) -> Arguments:
    """One combination; "own" contexts are the shop's two corners."""
    chosen: Arguments = {**request.param, "scenario": shop, "simulator": simulator}
    if chosen["contexts"] == "own":
        corners = [[getattr(shop.rules[name], end) for name in RULE_NAMES] for end in ("low", "high")]
        chosen["contexts"] = np.array(corners)
    return chosen


def _rollout(env: Any, actions: list[Any]) -> list[Any]:
    return [env.reset(seed=3), *(env.step(action) for action in actions)]


def _sampled(space: gym.Space[Any], count: int) -> list[Any]:
    space.seed(4)
    return [space.sample() for _ in range(count)]


def test_every_combination_passes_gymnasiums_checker(arguments: Arguments) -> None:
    check_env(gym.make("MeshResilience-v0", **arguments).unwrapped)


def test_twins_are_exactly_equal_and_pickles_go_on_where_they_were(arguments: Arguments) -> None:
    env, twin = (gym.make("MeshResilience-v0", **arguments) for _ in range(2))
    actions = _sampled(env.action_space, 30)
    assert data_equivalence(_rollout(env, actions), _rollout(twin, actions), exact=True)
    thawed = pickle.loads(pickle.dumps(env))
    assert data_equivalence(
        [thawed.step(action) for action in actions], [env.step(action) for action in actions], exact=True
    )


@pytest.mark.parametrize("name", SCENARIO_NAMES[:2])
@pytest.mark.parametrize("control", CONTROLS)
def test_named_ids_pass_the_checker_and_end_after_1000_steps(name: str, control: str, simulator: Simulator) -> None:
    env = gym.make(f"MeshResilience-{name}-v0", control=control, simulator=simulator)
    check_env(env.unwrapped)
    actions = _sampled(env.action_space, 1000)
    ends = [step[2:4] for step in _rollout(env, actions)[1:]]
    assert ends == [(False, False)] * 999 + [(False, True)]


@pytest.mark.parametrize("name", [_bundled(name) for name in SCENARIO_NAMES])
@pytest.mark.parametrize("control", CONTROLS)
def test_bundled_simulators_pass_the_checker(name: str, control: str) -> None:
    env = gym.make(f"MeshResilience-{name}-v0", control=control)
    check_env(env.unwrapped)
    *_, info = _rollout(env, _sampled(env.action_space, 1))[-1]
    assert not info["outside"]


def test_a_simulator_and_a_scenario_can_be_files(tmp_path: Any, simulator: Simulator, shop_text: str) -> None:
    scenario = tmp_path / "shop.toml"
    scenario.write_text(shop_text)
    file = simulator.save(tmp_path / "shop.npz")
    from_files = gym.make("meshgym:MeshResilience-v0", scenario=str(scenario), simulator=str(file))
    from_objects = gym.make("MeshResilience-v0", scenario=scenario, simulator=simulator)
    actions = _sampled(from_files.action_space, 10)
    assert data_equivalence(_rollout(from_files, actions), _rollout(from_objects, actions), exact=True)


def test_the_vector_environment_declares_its_autoreset(shop: Scenario, simulator: Simulator) -> None:
    env = gym.make_vec("MeshResilience-v0", num_envs=2, scenario=shop, simulator=simulator, max_episode_steps=2)
    assert env.metadata["autoreset_mode"] is gym.vector.AutoresetMode.NEXT_STEP
    env.reset(seed=0)
    steps = [env.step([0, 0]) for _ in range(4)]
    assert [step[3].tolist() for step in steps] == [[False] * 2, [True] * 2, [False] * 2, [False] * 2]
    assert [bool(step[4]) for step in steps] == [True, True, False, True]
    assert steps[2][1].tolist() == [0, 0]


@pytest.mark.parametrize("control", CONTROLS)
def test_what_was_returned_is_never_overwritten(shop: Scenario, simulator: Simulator, control: str) -> None:
    env = gym.make_vec("MeshResilience-v0", num_envs=3, scenario=shop, simulator=simulator, control=control)
    actions = _sampled(env.action_space, 40)
    kept = [env.reset(seed=1)]
    copies = [pickle.dumps(kept[0])]
    for action in actions:
        kept.append(env.step(action))
        copies.append(pickle.dumps(kept[-1]))
        action[...] = 0  # nor does the environment look at its arguments again
    assert all(data_equivalence(pickle.loads(copy), one, exact=True) for copy, one in zip(copies, kept, strict=True))
    observations: list[NDArray[Any]] = [one[0] for one in kept]
    assert not any(np.shares_memory(one, other) for one, other in itertools.combinations(observations, 2))


@pytest.mark.parametrize("name", [None, *SCENARIO_NAMES])
def test_ids_say_whether_they_are_deterministic(name: str | None) -> None:
    middle = f"-{name}" if name else ""
    assert not gym.spec(f"MeshResilience{middle}-v0").nondeterministic
    assert gym.spec(f"LiveIstio{middle}-v0").nondeterministic


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("contexts", ["uniform", "walk"])
def test_parallel_environments_pass_pettingzoos_checkers(
    shop: Scenario, simulator: Simulator, control: str, count: int, contexts: str
) -> None:
    def make() -> Any:
        return parallel_env(
            [shop] * count, control=control, contexts=contexts, simulators=[simulator] * count, max_episode_steps=40
        )

    parallel_api_test(make(), num_cycles=60)
    parallel_seed_test(make)


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("services", [["shop"], ["shop", "shop"], ["shop", "S2"]], ids="-".join)
def test_dependent_environments_pass_pettingzoos_checkers(
    shop: Scenario, simulator: Simulator, order: tuple[str, str], services: list[str]
) -> None:
    scenarios = [shop if name == "shop" else name for name in services]

    def make() -> Any:
        return aec_env(scenarios, order=order, simulators=[simulator] * len(scenarios), max_episode_steps=40)

    api_test(make(), num_cycles=60)
    seed_test(make, num_cycles=60)


def test_batches_go_on_where_they_were_after_pickling(shop: Scenario, simulator: Simulator) -> None:
    env = gym.make_vec("MeshResilience-v0", num_envs=3, scenario=shop, simulator=simulator, contexts="walk")
    actions = _sampled(env.action_space, 40)
    _rollout(env, actions[:20])
    thawed = pickle.loads(pickle.dumps(env))
    later = [[one.step(action) for action in actions[20:]] for one in (env, thawed)]
    assert data_equivalence(*later, exact=True)


@pytest.mark.parametrize("make", [parallel_env, aec_env])
def test_multi_agent_environments_survive_pickling(shop: Scenario, simulator: Simulator, make: Any) -> None:
    env = make([shop, shop], simulators=[simulator] * 2)
    thawed = pickle.loads(pickle.dumps(env))
    for one in (env, thawed):
        one.reset(seed=5)
    for agent in env.possible_agents:
        assert thawed.observation_space(agent) == env.observation_space(agent)
    if make is parallel_env:
        joint = dict.fromkeys(env.agents, 1)
        assert data_equivalence(thawed.step(joint), env.step(joint), exact=True)
    else:
        assert data_equivalence(thawed.last(), env.last(), exact=True)


def test_twin_rollouts_of_parallel_environments_are_exactly_equal(shop: Scenario, simulator: Simulator) -> None:
    """PettingZoo's own seed test stops after one step."""
    envs = [parallel_env([shop, "S2"], simulators=[simulator] * 2, max_episode_steps=30) for _ in range(2)]
    rollouts = []
    for env in envs:
        steps: list[Any] = [env.reset(seed=9)]
        generator = np.random.default_rng(0)
        while env.agents:
            joint = {agent: int(generator.integers(env.action_space(agent).n)) for agent in env.agents}
            steps.append(env.step(joint))
        rollouts.append(steps)
    assert len(rollouts[0]) == 31
    assert data_equivalence(*rollouts, exact=True)

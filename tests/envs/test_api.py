"""The checkers of Gymnasium and PettingZoo, and what they leave out, over the ids and their arguments."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from combinations import ORDERS, Arguments, complete, of_ids, of_services
from gymnasium.utils.env_checker import check_env, data_equivalence
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

from meshgym import aec_env, parallel_env
from meshgym.envs.spaces import CONTROLS
from meshgym.scenarios import SCENARIO_NAMES, Scenario
from meshgym.simulator import Simulator
from meshgym.testing import untrained_simulator


@pytest.fixture
def make(shop: Scenario, simulator: Simulator) -> Callable[[str, Arguments], Any]:
    """Makes an environment of an id; the id without a scenario gets the shop."""

    def made(name: str, arguments: Arguments) -> Any:
        own = {"scenario": shop, "simulator": simulator} if name == "MeshResilience-v0" else {}
        return gym.make(name, **complete(arguments, shop), **own)

    return made


@pytest.fixture
def services_of(shop: Scenario, simulator: Simulator) -> Callable[[list[str]], Arguments]:
    """The arguments that a list of services stands for."""

    def found(names: list[str]) -> Arguments:
        if "shop" not in names:
            return {"services": names}
        return {"services": [shop] * len(names), "simulators": [simulator] * len(names)}

    return found


def _rollout(env: Any, actions: list[Any]) -> list[Any]:
    return [env.reset(seed=3), *(env.step(action) for action in actions)]


def _sampled(space: gym.Space[Any], count: int) -> list[Any]:
    space.seed(4)
    return [space.sample() for _ in range(count)]


@pytest.mark.parametrize(("name", "arguments"), of_ids("MeshResilience"))
def test_every_combination_passes_gymnasiums_checker(make: Any, name: str, arguments: Arguments) -> None:
    check_env(make(name, arguments).unwrapped)


@pytest.mark.parametrize(("name", "arguments"), of_ids("MeshResilience"))
def test_twins_are_exactly_equal_and_pickles_go_on_where_they_were(make: Any, name: str, arguments: Arguments) -> None:
    env, twin = make(name, arguments), make(name, arguments)
    actions = _sampled(env.action_space, 30)
    assert data_equivalence(_rollout(env, actions), _rollout(twin, actions), exact=True)
    thawed = pickle.loads(pickle.dumps(env))
    assert data_equivalence(
        [thawed.step(action) for action in actions], [env.step(action) for action in actions], exact=True
    )


@pytest.mark.parametrize("name", SCENARIO_NAMES)
@pytest.mark.parametrize("control", CONTROLS)
def test_episodes_have_1000_steps(name: str, control: str) -> None:
    env = gym.make(f"MeshResilience-{name}-v0", control=control)
    ends = [step[2:4] for step in _rollout(env, _sampled(env.action_space, 1000))[1:]]
    assert ends == [(False, False)] * 999 + [(False, True)]


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
    assert [step[4]["calls"].tolist() for step in steps] == [[20, 20], [20, 20], [0, 0], [20, 20]]
    assert steps[2][1].tolist() == [0, 0]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("batched", [False, True])
def test_what_was_returned_is_never_overwritten(
    shop: Scenario, simulator: Simulator, control: str, batched: bool
) -> None:
    more: Arguments = {"num_envs": 3} if batched else {}
    made = gym.make_vec if batched else gym.make
    env: Any = made("MeshResilience-v0", scenario=shop, simulator=simulator, control=control, **more)
    actions = [np.array(action) for action in _sampled(env.action_space, 40)]
    kept = [env.reset(seed=1)]
    copies = [pickle.dumps(kept[0])]
    for action in actions:
        kept.append(env.step(action))
        copies.append(pickle.dumps(kept[-1]))
        action[...] = 0  # nor does the environment look at its arguments again
    assert all(data_equivalence(pickle.loads(copy), one, exact=True) for copy, one in zip(copies, kept, strict=True))
    arrays = [one[0] for one in kept] + [one[4]["rules"] for one in kept[1:]]
    assert not any(np.shares_memory(one, other) for one, other in itertools.combinations(arrays, 2))


@pytest.mark.parametrize("name", [None, *SCENARIO_NAMES])
def test_ids_say_whether_they_are_deterministic(name: str | None) -> None:
    middle = f"-{name}" if name else ""
    assert not gym.spec(f"MeshResilience{middle}-v0").nondeterministic
    assert gym.spec(f"LiveIstio{middle}-v0").nondeterministic


@pytest.mark.parametrize(("services", "arguments"), of_services(control=CONTROLS))
def test_parallel_environments_pass_pettingzoos_checkers(
    services_of: Any, shop: Scenario, services: list[str], arguments: Arguments
) -> None:
    def make() -> Any:
        return parallel_env(**services_of(services), **complete(arguments, shop), max_episode_steps=10)

    parallel_api_test(make(), num_cycles=15)
    parallel_seed_test(make)


@pytest.mark.parametrize(("services", "arguments"), of_services(order=ORDERS))
def test_dependent_environments_pass_pettingzoos_checkers(
    services_of: Any, shop: Scenario, services: list[str], arguments: Arguments
) -> None:
    def make() -> Any:
        return aec_env(**services_of(services), **complete(arguments, shop), max_episode_steps=10)

    api_test(make(), num_cycles=15)
    seed_test(make, num_cycles=15)


@pytest.mark.parametrize(("make", "check"), [(parallel_env, parallel_api_test), (aec_env, api_test)])
def test_services_of_different_scenarios_can_be_mixed(
    shop: Scenario, simulator: Simulator, make: Any, check: Any
) -> None:
    simulators = [simulator, untrained_simulator("S2"), simulator]
    check(make([shop, "S2", shop], simulators=simulators, max_episode_steps=10), num_cycles=15)


def test_batches_go_on_where_they_were_after_pickling(shop: Scenario, simulator: Simulator) -> None:
    env = gym.make_vec("MeshResilience-v0", num_envs=3, scenario=shop, simulator=simulator, contexts="walk")
    actions = _sampled(env.action_space, 40)
    _rollout(env, actions[:20])
    thawed = pickle.loads(pickle.dumps(env))
    later = [[one.step(action) for action in actions[20:]] for one in (env, thawed)]
    assert data_equivalence(*later, exact=True)


@pytest.mark.parametrize("make", [parallel_env, aec_env])
def test_multi_agent_environments_go_on_where_they_were_after_pickling(
    shop: Scenario, simulator: Simulator, make: Any
) -> None:
    env = make([shop, shop], simulators=[simulator] * 2, contexts="walk")
    env.reset(seed=5)
    _play(env, 10)
    thawed = pickle.loads(pickle.dumps(env))
    for agent in env.possible_agents:
        assert thawed.observation_space(agent) == env.observation_space(agent)
    assert data_equivalence(_play(thawed, 10), _play(env, 10), exact=True)


@pytest.mark.parametrize("make", [parallel_env, aec_env])
def test_what_multi_agent_environments_returned_is_never_overwritten(
    shop: Scenario, simulator: Simulator, make: Any
) -> None:
    env = make([shop, shop], simulators=[simulator] * 2)
    env.reset(seed=5)
    kept, copies = [], []
    for _ in range(20):
        kept.append(_play(env, 1))
        copies.append(pickle.dumps(kept[-1]))
    assert all(data_equivalence(pickle.loads(copy), one, exact=True) for copy, one in zip(copies, kept, strict=True))


def _play(env: Any, steps: int) -> list[Any]:
    """What a parallel or a dependent environment returns, all agents taking action 1."""
    returned: list[Any] = []
    for _ in range(steps):
        if hasattr(env, "last"):
            for _ in env.agents:
                returned.append(env.last())
                env.step(1)
        else:
            returned.append(env.step(dict.fromkeys(env.agents, 1)))
    return returned


def test_twin_rollouts_of_parallel_environments_are_exactly_equal(shop: Scenario, simulator: Simulator) -> None:
    """PettingZoo's own seed test stops after one step."""
    simulators = [simulator, untrained_simulator("S2")]
    envs = [parallel_env([shop, "S2"], simulators=simulators, max_episode_steps=30) for _ in range(2)]
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

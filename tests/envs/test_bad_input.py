"""Every mistake is a typed error that names the value, what is allowed and what to do."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from meshgym import LiveIstioEnv, aec_env, parallel_env
from meshgym.errors import InvalidValueError, MeshGymError, SimulatorError, UnknownNameError
from meshgym.scenarios import Scenario
from meshgym.simulator import SimulatedMesh, Simulator


@pytest.fixture
def arguments(shop: Scenario, simulator: Simulator) -> dict[str, Any]:
    return {"scenario": shop, "simulator": simulator}


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("scenario", "S9", "S1, S2, S3, S4, S5, a path to a .toml file."),
        ("control", "call", "both, calls, threads. Did you mean 'calls'?"),
        ("control", ["calls"], "both, calls, threads"),
        ("reward", "worst", "best_case, module:function, worst_case. Did you mean 'worst_case'?"),
        ("contexts", "trace", "traces, uniform, walk. Did you mean 'traces'?"),
    ],
)
@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_unknown_names(arguments: dict[str, Any], make: Any, argument: str, value: Any, allowed: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        make("MeshResilience-v0", **{**arguments, argument: value})
    assert repr(value) in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*render_mode='human':UserWarning")
def test_unknown_render_mode(arguments: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError, match="'rgb'; allowed: ansi, rgb_array"):
        gym.make_vec("MeshResilience-v0", render_mode="rgb", **arguments)


@pytest.mark.parametrize(
    ("control", "action", "named"),
    [
        ("calls", 4, "action for calls is 4; allowed: a whole number 0..3. It is the index into the values 20, 30"),
        ("calls", -1, "is -1"),
        ("calls", 1.0, "is 1.0"),
        ("calls", None, "is None"),
        ("threads", np.int64(3), "0..2"),
        ("both", [0, 4], "action for calls is 4"),
        ("both", np.array([-1, 0]), "action for threads is"),
        ("both", np.array([0.0, 1.0]), "whole number"),
        ("both", 1, "two whole numbers"),
        ("both", [1, 1, 1], "two whole numbers"),
    ],
)
def test_actions_out_of_range_change_nothing(arguments: dict[str, Any], control: str, action: Any, named: str) -> None:
    env, twin = (gym.make("MeshResilience-v0", control=control, **arguments) for _ in range(2))
    env.reset(seed=1)
    twin.reset(seed=1)
    with pytest.raises(InvalidValueError) as caught:
        env.step(action)
    assert named in str(caught.value)
    allowed = [0, 0] if control == "both" else 0
    assert env.step(allowed)[1] == twin.step(allowed)[1]


@pytest.mark.parametrize(
    ("actions", "named"),
    [
        ([[0, 0], [0, 4]], "action for calls is 4"),
        ([[0, 0], [-2, 0]], "action for threads is -2"),
        ([[0, 0]], "shape (2, 2)"),
        ([0, 0], "shape (2, 2)"),
        ([[0.0, 0.0], [0.0, 0.0]], "whole numbers"),
    ],
)
def test_batched_actions_out_of_range(arguments: dict[str, Any], actions: Any, named: str) -> None:
    env = gym.make_vec("MeshResilience-v0", num_envs=2, control="both", **arguments)
    env.reset(seed=1)
    with pytest.raises(InvalidValueError) as caught:
        env.step(actions)
    assert named in str(caught.value)


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_step_and_render_before_reset(arguments: dict[str, Any], make: Any) -> None:
    env = (
        make("MeshResilience-v0", disable_env_checker=True, **arguments)
        if make is gym.make
        else make("MeshResilience-v0", **arguments)
    )
    with pytest.raises(InvalidValueError, match="Call reset"):
        env.step(0 if make is gym.make else [0])
    drawn = make("MeshResilience-v0", render_mode="ansi", **arguments)
    with pytest.raises(InvalidValueError, match="Call reset"):
        drawn.unwrapped.render()


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_reset_options_are_refused(arguments: dict[str, Any], make: Any) -> None:
    env = make("MeshResilience-v0", **arguments)
    with pytest.raises(InvalidValueError, match=r"\['rules'\]; allowed: none"):
        env.reset(options={"rules": 1})


@pytest.mark.parametrize(
    ("argument", "value"), [("num_envs", 0), ("max_episode_steps", 0), ("num_envs", -3), ("num_envs", 2.5)]
)
def test_numbers_of_the_vector_environment(arguments: dict[str, Any], argument: str, value: float) -> None:
    with pytest.raises(InvalidValueError, match=f"{argument} is {value}; allowed: a whole number 1..1000000"):
        gym.make_vec("MeshResilience-v0", **{**arguments, argument: value})


def test_a_reward_that_is_not_batched(arguments: dict[str, Any]) -> None:
    env = gym.make_vec("MeshResilience-v0", num_envs=3, reward=lambda qps, p200, p503: 1.0, **arguments)
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match=r"shape of the reward is \(\); allowed: \(3,\)"):
        env.step([0, 0, 0])


def test_seeds_of_the_vector_environment(arguments: dict[str, Any]) -> None:
    env = gym.make_vec("MeshResilience-v0", num_envs=3, **arguments)
    with pytest.raises(InvalidValueError, match="number of seeds is 2; allowed: num_envs=3"):
        env.reset(seed=[1, 2])  # type: ignore[arg-type]


def test_a_scenario_without_a_simulator(shop: Scenario) -> None:
    with pytest.raises(SimulatorError, match="shop"):
        gym.make("MeshResilience-v0", scenario=shop)


def test_a_simulator_of_another_scenario(simulator: Simulator) -> None:
    both = "fitted for scenario shop, not for S2"
    for make in (gym.make, gym.make_vec):
        with pytest.raises(SimulatorError, match=both):
            make("MeshResilience-S2-v0", simulator=simulator)
    for agents in (parallel_env, aec_env):
        with pytest.raises(SimulatorError, match=both):
            agents(["S2"], simulators=[simulator])
    LiveIstioEnv("S2", mesh=SimulatedMesh(simulator)).reset(seed=0)  # a mesh may be any


@pytest.mark.parametrize("make", [parallel_env, aec_env])
@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"services": []}, "services is []; allowed: a list of at least one scenario"),
        ({"services": "S1"}, "services is 'S1'"),
        ({"services": None}, "services is None"),
        ({"simulators": []}, "number of simulators is 0; allowed: one per service: 1"),
        ({"beta": -0.1}, "beta is -0.1; allowed: a finite number, 0 and above"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"max_episode_steps": 0}, "max_episode_steps is 0"),
        ({"max_episode_steps": 1.5}, "max_episode_steps is 1.5"),
        ({"services": ["S9"]}, "scenario is 'S9'; allowed: C1, S1, S2"),
        ({"reward": "worst"}, "reward is 'worst'"),
        ({"contexts": "trace"}, "contexts is 'trace'"),
        ({"render_mode": "human"}, "render_mode is 'human'"),
    ],
)
def test_arguments_of_several_services(
    shop: Scenario, simulator: Simulator, make: Any, changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        make(**{"services": [shop], "simulators": [simulator], **changed})
    assert named in str(caught.value)


@pytest.mark.parametrize("order", [("threads",), ("calls", "calls"), "both", ("threads", 1)])
def test_order_of_dependent_agents(shop: Scenario, simulator: Simulator, order: Any) -> None:
    with pytest.raises(InvalidValueError, match="allowed: \\('threads', 'calls'\\) or"):
        aec_env([shop], order=order, simulators=[simulator])


@pytest.mark.parametrize(
    ("actions", "named"),
    [
        ({"threads_0": 0}, "exactly threads_0, calls_0"),
        ({"threads_0": 0, "calls_0": 0, "calls_1": 0}, "'calls_1'"),
        ({"threads_0": 0, "calls_0": 4}, "action for calls is 4"),
    ],
)
def test_joint_actions(shop: Scenario, simulator: Simulator, actions: dict[str, int], named: str) -> None:
    env = parallel_env([shop], simulators=[simulator])
    env.reset(seed=0)
    with pytest.raises(InvalidValueError) as caught:
        env.step(actions)
    assert named in str(caught.value)


def test_multi_agent_steps_outside_an_episode(shop: Scenario, simulator: Simulator) -> None:
    parallel = parallel_env([shop], simulators=[simulator], max_episode_steps=1)
    joint = {"threads_0": 0, "calls_0": 0}
    aec = aec_env([shop], simulators=[simulator])
    with pytest.raises(InvalidValueError, match="Call reset"):
        parallel.step(joint)
    with pytest.raises(InvalidValueError, match="Call reset"):
        aec.step(0)
    parallel.reset(seed=0)
    parallel.step(joint)
    with pytest.raises(InvalidValueError, match="Call reset"):
        parallel.step(joint)
    aec.reset(seed=0)
    with pytest.raises(InvalidValueError, match="action for threads is 3"):
        aec.step(3)
    assert aec.agent_selection == "threads_0"


@pytest.mark.parametrize("make", [parallel_env, aec_env])
def test_multi_agent_reset_options_are_refused(shop: Scenario, simulator: Simulator, make: Any) -> None:
    with pytest.raises(MeshGymError, match="reset options"):
        make([shop], simulators=[simulator]).reset(options={"rules": 1})


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_a_reward_that_is_no_number_is_named(arguments: dict[str, Any], make: Any) -> None:
    def undefined(qps: Any, p200: Any, p503: Any) -> Any:
        return qps * np.nan

    def play() -> None:
        env = make("MeshResilience-v0", reward=undefined, **arguments)
        env.reset(seed=0)
        env.step(env.action_space.sample())

    with pytest.raises(InvalidValueError, match=r"what the reward .*undefined returned is .*; allowed: finite numbers"):
        play()


def test_more_environments_than_the_memory_holds(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=r"num_envs is 10000000; allowed: a whole number 1\.\.1000000"):
        gym.make_vec("MeshResilience-v0", num_envs=10**7, **arguments)

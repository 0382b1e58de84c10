"""Control over time: the checkers, twins, costs, loads, and the live form."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from meshes import kept

import meshgym  # noqa: F401 (registers the environments)
from meshgym.errors import InvalidValueError, MeshError, SimulatorError, UnknownNameError
from meshgym.scenarios import load_scenario

ID = "MeshControl-v0"
FORMS: list[dict[str, Any]] = [{}, {"flat": True}, {"continuous": True}, {"sample": False}]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_gymnasiums_checker_and_twins(form: dict[str, Any]) -> None:
    check_env(gym.make(ID, **form).unwrapped)
    env, twin = (gym.make(ID, **form) for _ in range(2))
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(20)]
    first = [env.reset(seed=3), *map(env.step, actions)]
    assert first[-1][3]  # truncated after 20 intervals
    assert data_equivalence(first, [twin.reset(seed=3), *map(twin.step, actions)], exact=True)
    env.reset()
    thawed = pickle.loads(pickle.dumps(env))
    assert data_equivalence([*map(thawed.step, actions)], [*map(env.step, actions)], exact=True)


def test_stable_baselines_checker() -> None:
    from stable_baselines3.common.env_checker import check_env as check

    for form in FORMS[:2]:  # it wants a Box from -1 to 1
        check(gym.make(ID, **form).unwrapped)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_batch_is_so_many_single_ones(form: dict[str, Any], mode: AutoresetMode) -> None:
    arguments: dict[str, Any] = {"max_episode_steps": 5, **form}
    slow = SyncVectorEnv([lambda: gym.make(ID, **arguments)] * 3, autoreset_mode=mode)
    fast = gym.make_vec(ID, num_envs=3, autoreset_mode=mode, **arguments)
    assert fast.single_observation_space == slow.single_observation_space
    assert data_equivalence(fast.reset(seed=1), slow.reset(seed=1), exact=True)
    fast.action_space.seed(0)
    for step in range(12):
        if mode is AutoresetMode.DISABLED and step % 5 == 0:
            options = {"reset_mask": np.array([True] * 3)}
            assert data_equivalence(fast.reset(options=options), slow.reset(options=options), exact=True)
        actions = fast.action_space.sample()
        assert data_equivalence(fast.step(actions), slow.step(actions), exact=True)


def test_changes_cost_and_the_first_choice_is_free() -> None:
    plain, dear = (gym.make(ID, flat=True, change_cost=cost).unwrapped for cost in (0.0, 7.0))
    for env in (plain, dear):
        env.reset(seed=5)
    for action, changed in ((3, False), (3, False), (40, True), (40, False), (3, True)):
        (_, reward, *_, info), (_, less, *_, same) = (env.step(action) for env in (plain, dear))
        assert bool(info["changed"]) is bool(same["changed"]) is changed
        assert less == pytest.approx(reward - 7.0 * changed)
        assert reward == pytest.approx(info["qps"] * info["p200"])


def test_an_observation_shows_what_was() -> None:
    env = gym.make(ID, process="daily").unwrapped
    observation, info = env.reset(seed=0)
    assert env.seen[-6:] == (
        *("rate_per_s", "rate_before", "p_overflow", "p_no_healthy_host", "p_upstream_error", "ejected"),
    )
    assert observation[len(env.actions.names) :].tolist() == [0] * 6
    assert info["rate_per_s"] == 0
    before = 0.0
    for _ in range(5):
        observation, _, _, _, info = env.step(env.actions.encode(**{k: v[0] for k, v in env.actions.values.items()}))
        seen = dict(zip(env.seen, observation.tolist(), strict=True))
        assert seen["rate_per_s"] == info["rate_per_s"]
        assert seen["rate_before"] == before
        assert seen["ejected"] == min(info["ejected"], 4)
        assert all(seen[name] == values[0] for name, values in env.actions.values.items())
        before = info["rate_per_s"]
    assert set(info) == set(env.reset()[1])


def test_loads_follow_the_process(tmp_path: Any) -> None:
    (tmp_path / "load.csv").write_text("rate_per_s\n40\n80\n120\n")

    def rates(process: Any, steps: int = 25) -> list[float]:
        env = gym.make(ID, process=process, flat=True).unwrapped
        env.reset(seed=2)
        return [float(env.step(0)[-1]["rate_per_s"]) for _ in range(steps)]

    assert set(rates(tmp_path / "load.csv")) == {40, 80, 120}
    assert len(set(rates("constant", 20))) == 1
    assert len(set(rates("daily"))) > 5
    assert rates(lambda generator, intervals, span: np.full(intervals, 60.0)) == [60] * 25


def test_a_long_ejection_costs_more_under_the_bundled_simulator() -> None:
    """What the simulator has learned: strict rules under a high load lose replicas, and with them answers."""

    def served(**rules: float) -> float:
        envs = gym.make_vec(ID, num_envs=64, flat=True, process=lambda g, n, span: np.full(n, 160.0))
        single = gym.make(ID, flat=True).unwrapped
        action = np.full(64, single.actions.encode(**rules))
        envs.reset(seed=0)
        return float(np.mean([envs.step(action)[1].mean() for _ in range(20)]))

    shared = {"base_ejection_time_s": 9, "http2_max_requests": 16}
    strict = served(**shared, max_ejection_percent=75, consecutive_5xx_errors=1)
    lenient = served(**shared, max_ejection_percent=25, consecutive_5xx_errors=11)
    assert strict < 0.8 * lenient


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"scenario": "S1"}, InvalidValueError, r"scenario S1 .*\[control\]"),
        ({"process": "weekly"}, UnknownNameError, "weekly"),
        ({"change_cost": -1.0}, InvalidValueError, "change_cost is -1"),
        ({"change_cost": float("nan")}, InvalidValueError, "change_cost is nan"),
        ({"flat": True, "continuous": True}, InvalidValueError, "flat and continuous"),
        ({"simulator": "missing.npz"}, SimulatorError, r"missing\.npz"),
        ({"reward": "goodness"}, UnknownNameError, "goodness"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        gym.make(ID, **arguments)


def test_bad_steps_are_refused() -> None:
    env = gym.make(ID, flat=True).unwrapped
    with pytest.raises(InvalidValueError, match="before reset"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match="below 108"):
        env.step(108)
    with pytest.raises(InvalidValueError, match="none"):
        env.reset(options={"day": 3})


def test_the_last_interval_as_text() -> None:
    env = gym.make(ID, flat=True, render_mode="ansi").unwrapped
    env.reset(seed=0)
    env.step(5)
    assert "C1: base_ejection_time_s" in env.render()
    assert "rate_per_s" in env.render()
    assert gym.make(ID).unwrapped.render() is None


@pytest.mark.slow
def test_the_live_form_runs_an_episode_with_the_same_keys() -> None:
    simulated = gym.make(ID, flat=True, process="ramp")
    live = gym.make("LiveMeshControl-v0", flat=True, process="ramp", render_mode="ansi")
    assert live.observation_space == simulated.observation_space
    assert live.action_space == simulated.action_space

    def episode() -> list[Any]:
        live.reset(seed=4)
        return [live.step(7) for _ in range(20)]

    try:
        steps = kept(episode)
    finally:
        live.close()
    simulated.reset(seed=4)
    expected = [simulated.step(7) for _ in range(20)]
    assert steps[-1][3]
    assert [info["rate_per_s"] for *_, info in steps] == [info["rate_per_s"] for *_, info in expected]
    assert all(set(one[-1]) == set(other[-1]) for one, other in zip(steps, expected, strict=True))
    assert all(live.observation_space.contains(observation) for observation, *_ in steps)
    assert max(info["ejected"] for *_, info in steps) >= 1
    with pytest.raises(MeshError, match="closed"):
        live.unwrapped.step(7)


def test_live_limits_on_calls() -> None:
    live = gym.make("LiveMeshControl-v0", flat=True, max_calls=10)
    assert pickle.loads(pickle.dumps(live.unwrapped)).seen == live.unwrapped.seen
    live.reset(seed=0)
    try:
        with pytest.raises(InvalidValueError, match="max_calls=10"):
            live.step(0)
    finally:
        live.close()
    assert load_scenario("C1").control is not None

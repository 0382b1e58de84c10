"""The environment over a mesh: the same spaces, info and reward, and never more load than allowed."""

from __future__ import annotations

import math
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from combinations import Arguments, complete, of_ids
from gymnasium.utils.env_checker import check_env

from meshgym import LiveIstioEnv
from meshgym.envs.spaces import CONTROLS
from meshgym.errors import InvalidValueError, MeshError, MeshStartError, UnknownNameError
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.scenarios import Scenario
from meshgym.simulator import SimulatedMesh, Simulator
from meshgym.testing import FakeMesh
from meshgym.types import RULE_NAMES, Load, Response, TrafficRules

RULES = [1, 1, 2, 180, 10, 0.1, 1]  # one connection, one caller may wait


@pytest.mark.parametrize(("name", "arguments"), of_ids("LiveIstio", render_modes=(None, "ansi")))
def test_every_combination_passes_gymnasiums_checker(shop: Scenario, name: str, arguments: Arguments) -> None:
    own = {"scenario": shop} if name == "LiveIstio-v0" else {}
    check_env(gym.make(name, mesh=FakeMesh(), **complete(arguments, shop), **own).unwrapped)


@pytest.mark.parametrize("control", CONTROLS)
def test_live_and_simulated_environments_differ_only_in_the_mesh(
    shop: Scenario, simulator: Simulator, control: str
) -> None:
    mesh = SimulatedMesh(simulator)
    live = gym.make("LiveIstio-v0", scenario=shop, control=control, mesh=mesh)
    simulated = gym.make("MeshResilience-v0", scenario=shop, control=control, simulator=simulator)
    assert live.observation_space == simulated.observation_space
    assert live.action_space == simulated.action_space
    assert np.array_equal(live.reset(seed=2)[0], simulated.reset(seed=2)[0])
    live.action_space.seed(2)
    for _ in range(20):
        action = live.action_space.sample()
        seen, reward, *_, info = live.step(action)
        expected, expected_reward, *_, expected_info = simulated.step(action)
        assert np.array_equal(seen, expected)
        assert reward == expected_reward
        assert list(info) == list(expected_info)
        assert {name: type(value) for name, value in info.items()} == {
            name: type(value) for name, value in expected_info.items()
        }
        assert np.array_equal(info["rules"], expected_info["rules"])
        assert {**info, "rules": None} == {**expected_info, "rules": None}


def test_a_step_worked_out_by_hand(shop: Scenario) -> None:
    """Four callers on one connection with one waiting: two of four overflow; 100 requests per second return 200."""
    mesh = FakeMesh(qps_per_connection=100)
    env = LiveIstioEnv(shop, control="both", mesh=mesh, contexts=[RULES])
    observation, _ = env.reset(seed=0)
    assert observation.tolist() == np.array(RULES, dtype=np.float32).tolist()
    _, reward, terminated, truncated, info = env.step([2, 3])
    assert mesh.measured == [(TrafficRules(*RULES), Load(threads=4, calls=60))]
    assert info["rules"].tolist() == RULES
    assert (info["threads"], info["calls"]) == (4, 60)
    assert (info["qps"], info["p200"], info["p503"]) == (200, 0.5, 0.5)
    assert math.isnan(info["qps_std"])
    assert math.isnan(info["p503_std"])
    assert not info["outside"]
    assert reward == 100
    assert not terminated
    assert not truncated
    best = LiveIstioEnv(shop, control="both", mesh=mesh, contexts=[RULES], reward=lambda qps, p200, p503: 3 * p200)
    best.reset(seed=0)
    assert best.step([0, 0])[1] == 3


def test_limits_on_load(shop: Scenario) -> None:
    with pytest.raises(InvalidValueError, match="largest number of calls in scenario shop is 60; allowed: at most"):
        LiveIstioEnv(shop, mesh=FakeMesh(), max_calls_per_step=59)
    with pytest.raises(InvalidValueError, match="max_calls_per_step=nan"):
        LiveIstioEnv(shop, mesh=FakeMesh(), max_calls_per_step=float("nan"))  # type: ignore[arg-type]
    mesh = FakeMesh()
    env = LiveIstioEnv(shop, mesh=mesh, control="both", max_calls_per_step=60, max_calls=100)
    env.reset(seed=0)
    env.step([0, 3])
    env.step([0, 2])
    with pytest.raises(
        InvalidValueError, match="calls is 20; allowed: at most max_calls=100 in all, of which 100 are sent"
    ):
        env.step([0, 0])
    assert sum(load.calls for _, load in mesh.measured) == 100


class _Stubborn(FakeMesh):
    """Fails every other time."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        self.runs += 1
        if self.runs % 2:
            raise MeshError("not this time")
        return super().measure(rules, load)


def test_a_failed_step_can_be_repeated(shop: Scenario) -> None:
    env = LiveIstioEnv(shop, mesh=_Stubborn())
    twin = LiveIstioEnv(shop, mesh=FakeMesh())
    assert np.array_equal(env.reset(seed=1)[0], twin.reset(seed=1)[0])
    for _ in range(3):
        with pytest.raises(MeshError, match="not this time"):
            env.step(1)
        assert np.array_equal(env.step(1)[0], twin.step(1)[0])


def test_a_mesh_that_was_given_stays_open(shop: Scenario) -> None:
    mesh = FakeMesh()
    with LiveIstioEnv(shop, mesh=mesh) as env:
        env.reset(seed=0)
        env.step(0)
    mesh.measure(TrafficRules(*RULES), Load(1, 20))


def test_pickles_start_over(shop: Scenario) -> None:
    env = LiveIstioEnv(shop, mesh=FakeMesh(), control="both")
    start, _ = env.reset(seed=4)
    thawed: Any = pickle.loads(pickle.dumps(env))
    assert np.array_equal(thawed.reset(seed=4)[0], start)
    assert thawed.action_space == env.action_space


def test_text(shop: Scenario) -> None:
    env = LiveIstioEnv(shop, mesh=FakeMesh(), control="both", contexts=[RULES], render_mode="ansi")
    env.reset(seed=0)
    rules = "shop: " + ", ".join(f"{name} {value:g}" for name, value in zip(RULE_NAMES, RULES, strict=True))
    assert env.render() == rules
    env.step([2, 3])
    assert env.render() == f"{rules}\nthreads 4, calls 60, qps 200, p200 0.5, p503 0.5, reward 100"
    assert LiveIstioEnv(shop, mesh=FakeMesh()).render() is None


@pytest.mark.envoy
def test_over_the_embedded_mesh(shop: Scenario) -> None:
    with gym.make("LiveIstio-v0", scenario=shop, control="both") as env:
        env.reset(seed=0)
        _, reward, *_, info = env.step([2, 3])
        assert 0 <= info["p503"] <= 1
        assert info["qps"] > 0
        assert reward == pytest.approx(info["qps"] * info["p503"])
        env.close()
        with pytest.raises(MeshError, match="Call reset"):
            env.step([0, 0])
        env.reset()
        env.step([0, 0])


@pytest.mark.envoy
def test_an_envoy_that_dies_is_an_error_and_a_reset_makes_another(shop: Scenario) -> None:
    with LiveIstioEnv(shop, control="both") as env:
        env.reset(seed=0)
        env.step([0, 0])
        mesh: Any = env._live.mesh
        guard = mesh._envoys._guard.pid
        victim = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()[0]
        os.kill(int(victim), signal.SIGKILL)
        with pytest.raises(MeshStartError, match="close this mesh and make another"):
            _step_often(env)
        env.close()
        env.reset()
        env.step([0, 0])


def _step_often(env: LiveIstioEnv) -> None:
    for _ in range(50):  # the first responses may still be read from a dying Envoy
        env.step([0, 0])


def test_the_embedded_mesh_is_only_started_by_a_reset(shop: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(EmbeddedMesh, "__init__", lambda self, scenario, lanes: started.append(scenario))
    monkeypatch.setattr(EmbeddedMesh, "close", lambda self: started.append("closed"))
    env = LiveIstioEnv(shop)
    assert started == []
    env.reset(seed=0)
    env.reset(seed=0)
    env.close()
    env.close()
    assert started == [shop, "closed"]


def test_an_outcome_that_the_mesh_does_not_tell_is_not_a_number(shop: Scenario) -> None:
    env = LiveIstioEnv(shop, mesh=FakeMesh(), control="both", outcomes="all")
    env.reset(seed=0, options=None)
    *_, info = env.step([2, 3])
    assert 0 <= info["p_overflow"] <= 1
    assert math.isnan(info["latency_p99_s"])
    assert math.isnan(info["p_timeout"])


def test_copies_are_measured_side_by_side(shop: Scenario) -> None:
    envs = gym.make_vec("LiveIstio-v0", num_envs=3, scenario=shop, mesh=FakeMesh(), control="both", max_calls=300)
    single = LiveIstioEnv(shop, mesh=FakeMesh(), control="both")
    observations, _ = envs.reset(seed=[7, 8, 7])
    assert np.array_equal(observations[0], single.reset(seed=7)[0])
    _, rewards, _, _, infos = envs.step(np.array([[2, 3], [0, 0], [2, 3]]))
    _, reward, *_, info = single.step([2, 3])
    assert rewards[0] == rewards[2] == reward
    assert infos["qps"][0] == info["qps"]
    assert np.isnan(infos["qps_std"]).all()
    with pytest.raises(InvalidValueError, match="at most max_calls=300 in all, of which 140 are sent"):
        envs.step(np.array([[2, 3]] * 3))
    with pytest.raises(InvalidValueError, match=r"num_envs is 65; allowed: a whole number 1\.\.64"):
        gym.make_vec("LiveIstio-v0", num_envs=65, scenario=shop)


@pytest.mark.envoy
def test_copies_share_one_embedded_mesh(shop: Scenario) -> None:
    envs = gym.make_vec("LiveIstio-v0", num_envs=3, scenario=shop, control="both", outcomes=["latency_p50_s"])
    with pytest.raises(MeshError, match="has no mesh"):
        envs.unwrapped._live.measure_many(np.ones((1, 9)))
    envs.reset(seed=0)
    for _ in range(2):
        _, rewards, _, _, infos = envs.step(envs.action_space.sample())
        assert np.isfinite(rewards).all()
        np.testing.assert_allclose(infos["p200"] + infos["p503"], 1)
    envs.close()


def test_images_need_a_simulator(shop: Scenario, simulator: Simulator) -> None:
    drawn = LiveIstioEnv(shop, mesh=FakeMesh(), control="both", render_mode="rgb_array", simulator=simulator)
    drawn.reset(seed=0)
    drawn.step([0, 1])
    assert drawn.render().shape == (500, 800, 3)
    assert drawn.metadata["render_modes"] == ["ansi", "human", "rgb_array"]
    with pytest.raises(UnknownNameError, match="render_mode is 'rgb_array'; allowed: ansi"):
        LiveIstioEnv(shop, mesh=FakeMesh(), render_mode="rgb_array")

"""A scenario of open loops goes all the way: collected, fitted, played, recommended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test

from meshagents import Hyperparameters
from meshagents.cli.main import main as meshagents
from meshagents.training.configurations import CONFIGURATIONS, load_configuration
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import evaluate_trained
from meshgym import aec_env, parallel_env
from meshgym.cli.main import main
from meshgym.envs.spaces import controls_of
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.scenarios import Scenario, parse_scenario
from meshgym.simulator import Simulator
from meshgym.testing import FakeMesh, untrained_simulator
from meshgym.traces.store import load_traces
from meshgym.types import Load, Setting

RUSH = """
rows = 66
[rules]
max_connections = [1, 4]
http1_max_pending_requests = [1, 8]
[load]
rate_per_s = [100, 400]
calls = [60, 100]
[actions]
rate_per_s = [100, 200, 400]
calls = [60, 100]
[service]
replicas = 1
service_time_ms = 5
burst = 100
rate_per_s = 1000
mtls = false
"""


@pytest.fixture(scope="module")
def rush() -> Scenario:
    return parse_scenario("rush", RUSH)


@pytest.fixture(scope="module")
def simulator(rush: Scenario) -> Simulator:
    return untrained_simulator(rush)


def test_the_scenario(rush: Scenario) -> None:
    assert rush.load_names == ("rate_per_s", "calls")
    assert rush.setting_names[-2:] == ("rate_per_s", "calls")
    assert Scenario.from_dict(rush.to_dict()) == rush
    setting = rush.setting_at([8, 2, 250, 100])
    assert setting.load == Load(rate_per_s=250, duration_s=0.4)
    assert setting.to_row(rush.setting_names) == [8, 2, 250, 100]
    assert Setting.from_row([8, 2, 250, 100], rush.setting_names) == setting
    assert set(controls_of(rush)) == {"rate_per_s", "calls", "both"}


@pytest.mark.parametrize(
    ("now", "then", "message"),
    [
        ("rate_per_s = [100, 400]", "threads = 1\nrate_per_s = 1", "exactly the keys rate_per_s, calls"),
        ("rate_per_s = [100, 400]", "rate_per_s = [0, 400]", "rate_per_s is 0"),
        ("rate_per_s = [100, 200, 400]", "threads = [1]", "exactly the keys rate_per_s, calls"),
    ],
)
def test_loads_that_will_not_do(now: str, then: str, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        parse_scenario("rush", RUSH.replace(now, then))


@pytest.mark.parametrize("control", ["rate_per_s", "calls", "both"])
def test_environments(rush: Scenario, simulator: Simulator, control: str) -> None:
    env = gym.make("MeshResilience-v0", scenario=rush, simulator=simulator, control=control, render_mode="ansi")
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=0)
    *_, info = env.step(env.action_space.sample())
    assert info["rate_per_s"] in rush.actions["rate_per_s"]
    assert "reward, rate_per_s down" in str(env.render())
    batch = gym.make_vec("MeshResilience-v0", num_envs=3, scenario=rush, simulator=simulator, control=control)
    batch.reset(seed=0)
    *_, infos = batch.step(batch.action_space.sample())
    assert set(infos["rate_per_s"]) <= set(rush.actions["rate_per_s"])


def test_the_live_environment_sends_what_it_says(rush: Scenario) -> None:
    class OpenMesh(FakeMesh):
        def measure(self, rules, load):  # type: ignore[no-untyped-def]
            return (
                super()
                .measure(rules, Load(2, load.calls))
                ._replace(details={"ok": load.calls, "rate": load.rate_per_s})
            )

    env = gym.make("LiveIstio-v0", scenario=rush, mesh=OpenMesh(), control="both")
    env.reset(seed=0)
    *_, info = env.step([2, 0])
    assert (info["rate_per_s"], info["calls"]) == (400, 60)


def test_several_agents(rush: Scenario, simulator: Simulator, shop: Scenario) -> None:
    env = parallel_env([rush, rush], simulators=[simulator, simulator])
    assert env.possible_agents == ["rate_per_s_0", "calls_0", "rate_per_s_1", "calls_1"]
    parallel_api_test(env, num_cycles=5)
    turns = aec_env([rush], order=("calls", "rate_per_s"), simulators=[simulator])
    assert turns.possible_agents == ["calls_0", "rate_per_s_0"]
    with pytest.raises(InvalidValueError, match="for all services"):
        aec_env([rush], order=("threads", "calls"), simulators=[simulator])
    with pytest.raises(UnknownNameError, match="threads"):
        gym.make("MeshResilience-v0", scenario=rush, simulator=simulator, control="threads")


@pytest.mark.slow
@pytest.mark.parametrize("name", [configuration.name for configuration in CONFIGURATIONS])
def test_agents(rush: Scenario, simulator: Simulator, name: str) -> None:
    trained = train_agent(load_configuration(name), [Task(rush, simulator)], Hyperparameters(epochs=2), seed=0)
    (evaluation,) = evaluate_trained(trained)
    assert evaluation.random < evaluation.agent <= evaluation.oracle


@pytest.mark.slow
@pytest.mark.envoy
def test_from_the_mesh_to_a_recommendation(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    quick_recipe: Callable[[], AbstractContextManager[None]],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("meshgym.mesh.load.latency.MOST_LATE", 1.0)  # the machine is busy with other tests
    slowly = {"[100, 400]": "[20, 80]", "[100, 200, 400]": "[20, 40, 80]", "[60, 100]": "[20, 40]"}
    text = RUSH
    for fast, slow in slowly.items():
        text = text.replace(fast, slow)
    Path("rush.toml").write_text(text)
    assert main(["collect", "--scenario", "rush.toml", "--lanes", "3", "--out", "c"]) == 0
    assert main(["pack", "c", "rush.parquet"]) == 0
    frame = load_traces("rush.parquet")
    assert frame["rate_per_s"].between(20, 80).all()
    assert "threads" not in frame
    np.testing.assert_allclose(frame["qps"] / frame["rate_per_s"], 1, atol=0.25)  # whatever the service does
    with quick_recipe():
        assert main(["fit", "--scenario", "rush.toml", "--traces", "rush.parquet", "--out", "rush.npz"]) == 0
    assert meshagents(["recommend", "rush.toml=rush.npz", "--load", "rate_per_s=40,calls=40"]) == 0
    assert "-qps 40 -uniform -nocatchup" in capsys.readouterr().out

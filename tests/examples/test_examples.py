"""The examples run unchanged, with few steps, on a service whose simulator isn't trained."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

from meshgym.cli.main import main
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import Simulator
from meshgym.testing import FakeMesh
from meshgym.types import RESPONSE_NAMES, SETTING_NAMES, Setting

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


def _run(name: str, *arguments: Any, **named: Any) -> Any:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](*arguments, **named)


def test_stable_baselines3(shop: Scenario, simulator: Simulator) -> None:
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")
    reward = _run("stable_baselines3_dqn", 300, episodes=1, scenario=shop, simulator=simulator, max_episode_steps=50)
    assert reward > 0


def test_vector_loop_beats_chance(shop: Scenario, simulator: Simulator) -> None:
    random, greedy = _run("vector_dqn", 200, 128, scenario=shop, simulator=simulator)
    assert greedy > 1.05 * random


def test_parallel_loop(shop: Scenario, simulator: Simulator) -> None:
    history = _run("parallel_agents", 60, [shop, shop], simulators=[simulator] * 2, max_episode_steps=25)
    assert len(history) == 60
    assert np.isfinite(history).all()


@pytest.mark.envoy
def test_from_the_simulator_to_the_envoy(shop: Scenario, simulator: Simulator) -> None:
    simulated, live = _run("simulator_to_live", 300, 5, simulator, scenario=shop)
    assert simulated > 0
    assert live >= 0


@pytest.mark.envoy
@pytest.mark.learning
def test_own_service(tmp_path: Path) -> None:
    info = _run("own_service", 60, tmp_path)
    assert info["threads"] in (1, 2, 4, 8)
    assert 0 <= info["p503"] <= 1


@pytest.mark.learning
def test_traces_from_elsewhere_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop_text: str) -> None:
    """A scenario file without a service and a trace file with only the required columns make an environment."""
    monkeypatch.chdir(tmp_path)
    Path("shop.toml").write_text(shop_text.partition("[service]")[0])
    generator = np.random.default_rng(0)
    ranges = load_scenario("shop.toml").ranges
    rows = np.column_stack([generator.choice(span.values, 300) for span in ranges.values()])
    rows = np.unique(rows, axis=0)  # without numbers of runs, the same run twice would be a mistake
    settings = [Setting.from_row(row) for row in rows]
    responses = [FakeMesh().measure(one.rules, one.load).to_dict() for one in settings]
    frame = pd.DataFrame(rows, columns=list(SETTING_NAMES)).join(pd.DataFrame(responses)[list(RESPONSE_NAMES)])
    frame.to_parquet("shop.parquet")

    assert main(["fit", "--scenario", "shop.toml", "--traces", "shop.parquet"]) == 0

    own: dict[str, Any] = {"scenario": "shop.toml", "control": "both"}
    simulated = gym.make("meshgym:MeshResilience-v0", simulator="simulators/shop.npz", **own)
    live = gym.make("meshgym:LiveIstio-v0", mesh=FakeMesh(), **own)
    errors = []
    for env in (simulated, live):
        env.reset(seed=0)
    for _ in range(50):
        action = generator.integers([3, 4])
        errors.append(simulated.step(action)[4]["p503"] - live.step(action)[4]["p503"])
    assert np.abs(errors).mean() < 0.1


@pytest.mark.learning
def test_vector_loop_on_a_bundled_simulator() -> None:
    random, greedy = _run("vector_dqn")
    assert greedy > 1.2 * random

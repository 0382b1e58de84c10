"""The examples run as they are, with few steps, on a service whose simulator is not trained."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshgym.errors import SimulatorError
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator, load_simulator

EXAMPLES = Path(__file__).parents[2] / "examples"


def _run(name: str, *arguments: Any, **settings: Any) -> Any:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](*arguments, **settings)


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
@pytest.mark.parametrize("name", ["vector_dqn"])
def test_on_a_bundled_simulator(name: str) -> None:
    try:
        load_simulator("S2")
    except SimulatorError as error:
        pytest.skip(str(error))
    random, greedy = _run(name)
    assert greedy > 2 * random

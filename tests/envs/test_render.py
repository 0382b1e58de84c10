"""The reward surface as text and as an image."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from meshgym import aec_env, parallel_env
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.testing import untrained_simulator

CELL = 48


def _make(shop: Scenario, simulator: Simulator, render_mode: str | None, **arguments: Any) -> Any:
    env = gym.make(
        "MeshResilience-v0", scenario=shop, simulator=simulator, control="both", render_mode=render_mode, **arguments
    )
    env.reset(seed=6)
    return env


def _rewards(shop: Scenario, simulator: Simulator, rules: Any) -> Any:
    """All rewards under some rules, by playing every action in an environment that has no others."""
    env = _make(shop, simulator, None, contexts=[rules])
    return np.array([[env.step([i, k])[1] for k in range(4)] for i in range(3)])


def test_text_shows_every_reward_and_marks_the_action(shop: Scenario, simulator: Simulator) -> None:
    env = _make(shop, simulator, "ansi")
    assert "[" not in env.render()
    *_, info = env.step([1, 2])
    text = env.render()
    surface = _rewards(shop, simulator, info["rules"])
    lines = text.splitlines()
    assert f"max_connections {info['rules'][1]:g}" in lines[0]
    assert lines[2].split() == ["20", "30", "40", "60"]
    shown = [line.replace("[", " ").replace("]", " ").split() for line in lines[3:]]
    assert [row[0] for row in shown] == ["1", "2", "4"]
    assert [row[1:] for row in shown] == [[f"{reward:.4g}" for reward in row] for row in surface]
    assert f"[{surface[1, 2]:.4g}]" in lines[4]
    assert text.count("[") == 1


def test_image_is_brightest_where_the_reward_is_highest(shop: Scenario, simulator: Simulator) -> None:
    env = _make(shop, simulator, "rgb_array")
    rules = env.unwrapped.observation_space  # the rules in force are rendered after a reset, without a frame
    image = env.render()
    assert image.shape == (3 * CELL, 4 * CELL, 3)
    assert image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) <= 12
    *_, info = env.step([2, 1])
    surface = _rewards(shop, simulator, info["rules"])
    image = env.render()
    centres = image[CELL // 2 :: CELL, CELL // 2 :: CELL].astype(int).sum(axis=-1)
    assert centres.argmax() == surface.argmax()
    assert centres.argmin() == surface.argmin()
    frame = image[2 * CELL, CELL]
    assert (image[2 * CELL : 3 * CELL, CELL] == frame).all()
    assert (image[2 * CELL, CELL : 2 * CELL] == frame).all()
    assert not (image[2 * CELL + CELL // 2, CELL + CELL // 2] == frame).all()
    assert rules.contains(env.reset()[0])


def test_without_a_mode_nothing_is_rendered(shop: Scenario, simulator: Simulator) -> None:
    assert _make(shop, simulator, None).render() is None
    vector = gym.make_vec("MeshResilience-v0", scenario=shop, simulator=simulator)
    assert vector.render() is None
    assert parallel_env([shop], simulators=[simulator]).render() is None


def test_every_copy_has_its_frame(shop: Scenario, simulator: Simulator) -> None:
    arguments: dict[str, Any] = {"scenario": shop, "simulator": simulator, "render_mode": "ansi"}
    vector = gym.make_vec("MeshResilience-v0", num_envs=3, **arguments)
    singles = [gym.make("MeshResilience-v0", **arguments) for _ in range(3)]
    vector.reset(seed=8)
    for i, env in enumerate(singles):
        env.reset(seed=8 + i)
    assert vector.render() == tuple(env.render() for env in singles)
    vector.step([0, 1, 2])
    for i, env in enumerate(singles):
        env.step(i)
    assert vector.render() == tuple(env.render() for env in singles)


@pytest.mark.parametrize("make", [parallel_env, aec_env])
def test_services_are_rendered_below_one_another(shop: Scenario, simulator: Simulator, make: Any) -> None:
    services: dict[str, Any] = {"services": [shop, "S2"], "simulators": [simulator, untrained_simulator("S2")]}
    env = make(render_mode="rgb_array", **services)
    env.reset(seed=1)
    assert env.render().shape == ((3 + 5) * CELL, 4 * CELL, 3)
    text = make(render_mode="ansi", **services)
    text.reset(seed=1)
    assert [part.split(":")[0] for part in text.render().split("\n\n")] == ["shop", "S2"]

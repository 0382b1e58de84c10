"""The reward surface as text and as an image."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from meshgym import aec_env, parallel_env
from meshgym.errors import MissingDependencyError
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.testing import untrained_simulator

IMAGE = (500, 800, 3)


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


def test_an_image_shows_rewards_rules_and_the_action(shop: Scenario, simulator: Simulator) -> None:
    env = _make(shop, simulator, "rgb_array")
    before = env.render()
    assert before.shape == IMAGE
    assert before.dtype == np.uint8
    *_, info = env.step([2, 1])
    image, surface = env.render(), _rewards(shop, simulator, info["rules"])
    red = (image[..., 0] > 200) & (image[..., 1] < 60) & (image[..., 2] < 60)
    assert red.any()
    assert not ((before[..., 0] > 200) & (before[..., 1] < 60) & (before[..., 2] < 60)).any()
    # The highest reward is drawn in viridis' yellow, the lowest in its violet.
    yellow, violet = (253, 231, 36), (68, 1, 84)
    places = [np.argwhere((np.abs(image.astype(int) - colour) < 4).all(axis=-1)) for colour in (yellow, violet)]
    left = [place[place[:, 1] < 650] for place in places]  # without the bar of colours
    (top, _), (bottom, _) = (place.mean(axis=0) for place in left)
    rows = [np.unravel_index(surface.argmax(), surface.shape)[0], np.unravel_index(surface.argmin(), surface.shape)[0]]
    assert (top < bottom) == (rows[0] > rows[1]) or rows[0] == rows[1]


def test_a_window_shows_each_step(shop: Scenario, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("meshgym.envs.render.show", shown.append)
    env = _make(shop, simulator, "human")
    env.step([0, 0])
    assert [image.shape for image in shown] == [IMAGE] * 2
    monkeypatch.undo()
    assert env.render() is None  # without a display, nothing happens


def test_without_matplotlib_the_extra_is_named(
    shop: Scenario, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = _make(shop, simulator, "rgb_array")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"meshgym\[simulator\]"):
        env.render()


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
    assert env.render().shape == (1000, 800, 3)
    text = make(render_mode="ansi", **services)
    text.reset(seed=1)
    assert [part.split(":")[0] for part in text.render().split("\n\n")] == ["shop", "S2"]

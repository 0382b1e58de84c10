"""What actions mean, and what observations can be."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgym.envs.spaces import CONTROLS, Actions, observation_space
from meshgym.errors import InvalidValueError
from meshgym.scenarios import SCENARIO_NAMES, Scenario, load_scenario


@given(name=st.sampled_from(SCENARIO_NAMES), control=st.sampled_from(CONTROLS), seed=st.integers(0, 2**31))
def test_every_action_decodes_and_encodes_back(name: str, control: str, seed: int) -> None:
    scenario = load_scenario(name)
    actions = Actions(scenario, control)
    actions.space.seed(seed)
    action = actions.space.sample()
    load = actions.decode(action)
    assert tuple(load) == (("threads", "calls") if control == "both" else (control,))
    assert all(value in scenario.actions[setting] for setting, value in load.items())
    assert np.array_equal(actions.encode(**load), action)


def test_spaces_of_the_paper() -> None:
    scenario = load_scenario("S1")
    assert Actions(scenario, "threads").space == gym.spaces.Discrete(5)
    assert Actions(scenario, "calls").space == gym.spaces.Discrete(16)
    assert Actions(scenario, "both").space == gym.spaces.MultiDiscrete([5, 16])
    assert Actions(scenario, "both").decode([0, 15]) == {"threads": 1, "calls": 450}


@pytest.mark.parametrize(
    ("load", "named"),
    [
        ({"calls": 25}, "calls is 25; allowed: one of 20, 30, 40, 60"),
        ({"threads": 1}, "exactly calls"),
        ({}, "exactly"),
    ],
)
def test_only_actions_can_be_encoded(shop: Scenario, load: dict[str, int], named: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Actions(shop, "calls").encode(**load)
    assert named in str(caught.value)


@pytest.mark.parametrize("name", SCENARIO_NAMES[:4])
@pytest.mark.parametrize("shown", [None, "threads", "calls"])
def test_bounds_are_tight(name: str, shown: str | None) -> None:
    scenario = load_scenario(name)
    space = observation_space(scenario, shown)
    grid = scenario.rule_grid().astype(np.float32)
    ends: Any = [grid.min(axis=0), grid.max(axis=0)]
    if shown:
        values = scenario.actions[shown]
        ends = [np.append(end, np.float32(value)) for end, value in zip(ends, (values[0], values[-1]), strict=True)]
    assert np.array_equal(space.low, ends[0])
    assert np.array_equal(space.high.astype(np.float32), np.where(ends[0] < ends[1], ends[1], space.high))
    assert ((space.high - space.low)[ends[0] == ends[1]] < 1e-4).all()
    assert all(end.astype(np.float32) in space for end in ends)

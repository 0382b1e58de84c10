"""Controllers set what they should by what they see, and leave the rest as it is."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import meshgym  # noqa: F401 (registers the environments)
from meshagents.controllers import Panel, additive_increase, fixed, hysteresis, istio_defaults


@pytest.fixture(scope="module")
def env():
    return gym.make("MeshControl-v0", flat=True).unwrapped


@pytest.fixture(scope="module")
def panel(env):
    return Panel(env)


def seen(env, **shown):
    values = dict.fromkeys(env.seen, 0.0) | {name: own[1] for name, own in env.actions.values.items()} | shown
    return np.array([[values[name] for name in env.seen]], np.float32)


def chosen(env, controller, **shown):
    return env.actions.decode(int(controller(seen(env, **shown))[0]))


def test_istios_defaults_are_the_nearest_there_are(env, panel):
    expected = {"base_ejection_time_s": 9, "max_ejection_percent": 25}
    expected |= {"consecutive_5xx_errors": 6, "http2_max_requests": 16}
    assert chosen(env, istio_defaults(panel)) == expected


def test_fixed_rules_never_change(env, panel):
    assert fixed(panel, 17)(np.zeros((3, len(env.seen)))).tolist() == [17, 17, 17]


def test_a_hysteresis_has_two_thresholds(env, panel):
    controller = hysteresis(panel)
    strict, lenient = (chosen(env, controller, rate_per_s=rate) for rate in (60, 160))
    names = "consecutive_5xx_errors", "base_ejection_time_s", "max_ejection_percent"
    assert [strict[name] for name in names] == [1, 9, 50]
    assert [lenient[name] for name in names] == [11, 1, 25]
    for before in (strict, lenient):
        assert chosen(env, controller, rate_per_s=105, **before) == before


def test_an_additive_increase_goes_up_by_steps_and_down_by_halves(env, panel):
    controller = additive_increase(panel)
    limits = {
        (8, 0.0): 12,
        (16, 0.0): 16,
        (16, 0.2): 8,
        (8, 0.2): 4,
        (4, 0.2): 4,
    }
    for (limit, failing), expected in limits.items():
        found = chosen(env, controller, http2_max_requests=limit, p_upstream_error=failing)
        assert found["http2_max_requests"] == expected
        assert found["consecutive_5xx_errors"] == 6  # as it was


def test_several_are_chosen_for_at_once(env, panel):
    both = np.concatenate([seen(env, rate_per_s=160), seen(env)])
    first, second = hysteresis(panel)(both)
    assert first != second

"""Rewards take the outcomes that they name."""

import numpy as np
import pytest

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.rewards import apply_reward, further_needs, load_reward
from meshgym.types import Response

SLOW = Response(100.0, 0.9, 0.1, details={"p_overflow": 0.05, "latency_p99_s": 0.3})


def quick(qps, p200, p503, latency_p99_s):
    return qps * p200 * (latency_p99_s < 0.2)


def test_a_reward_gets_the_outcomes_it_names():
    reward = load_reward(quick)
    assert further_needs(reward) == ("latency_p99_s",)
    assert apply_reward(reward, SLOW) == 0
    fast = SLOW._replace(details={"latency_p99_s": np.array([0.1, 0.3])}, qps=np.array([100.0, 50.0]))
    assert apply_reward(reward, fast).tolist() == pytest.approx([90, 0])


def test_the_papers_rewards_need_three():
    assert further_needs(load_reward("worst_case")) == ()
    assert apply_reward(load_reward("worst_case"), SLOW) == pytest.approx(10)


def test_arguments_with_a_default_are_left_alone():
    assert apply_reward(load_reward(lambda qps, p200, p503, scale=2.0: scale * qps), SLOW) == 200


def test_an_outcome_that_nobody_tells():
    with pytest.raises(InvalidValueError, match=r"latency_p50_s.*tells: qps, p200, p503, p_overflow, latency_p99_s"):
        apply_reward(load_reward(lambda qps, p200, p503, latency_p50_s: qps), SLOW)
    with pytest.raises(UnknownNameError, match="latency_p98_s"):
        load_reward(lambda qps, p200, p503, latency_p98_s: qps)


def test_what_is_not_a_number_is_refused():
    missing = SLOW._replace(details={"latency_p99_s": np.nan})
    with pytest.raises(InvalidValueError, match="finite"):
        apply_reward(load_reward(lambda qps, p200, p503, latency_p99_s: latency_p99_s), missing)

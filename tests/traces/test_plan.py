"""A plan is even, shuffled, partly repeated, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshgym.errors import InvalidValueError
from meshgym.scenarios import SCENARIO_NAMES, load_scenario
from meshgym.traces.plan import make_plan


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(SCENARIO_NAMES), rows=st.integers(1, 400), seed=st.integers(0, 2**32))
def test_every_value_occurs_equally_often_and_a_tenth_is_repeated(name, rows, seed):
    scenario = load_scenario(name)
    plan = make_plan(scenario, rows, seed)
    first = plan.settings[plan.repeat == 0]
    assert len(plan) == rows
    assert int(plan.repeat.sum()) == rows // 11
    for column, span in zip(first.T, scenario.ranges.values(), strict=True):
        counts = [int((column == value).sum()) for value in span.values]
        assert sum(counts) == len(first)  # nothing outside the range
        assert max(counts) - min(counts) <= 1
        widest = max(np.diff([span.low - span.step, *np.unique(column), span.high + span.step]))
        assert widest <= 2 * max(1, np.ceil(len(span.values) / len(first))) * span.step  # no part is left out


def test_a_repeat_comes_after_the_run_it_repeats():
    plan = make_plan(load_scenario("S5"), 500, 3)
    for place in np.flatnonzero(plan.repeat):
        assert (plan.settings[:place] == plan.settings[place]).all(axis=1).any()


def test_the_seed_makes_the_plan():
    scenario = load_scenario("S3")
    assert make_plan(scenario, 200, 1).sha256 == make_plan(scenario, 200, 1).sha256
    assert make_plan(scenario, 200, 1).sha256 != make_plan(scenario, 200, 2).sha256


def test_order_says_nothing_about_the_setting():
    plan = make_plan(load_scenario("S2"), 2000, 0)
    for column in plan.settings.T:
        if np.ptp(column):
            assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < 0.1


def test_an_empty_plan_is_refused():
    with pytest.raises(InvalidValueError, match="rows"):
        make_plan(load_scenario("S1"), 0, 0)

"""Intervals, effects and aggregates, and tables of them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshagents.statistics import (
    Interval,
    aggregate_interval,
    interquartile_mean,
    markdown,
    mean_interval,
    optimality_gap,
    paired_effect,
    ratio_interval,
    share_interval,
    short,
    spread,
)


def test_interval_of_three_values_by_hand():
    found = mean_interval([1.0, 2.0, 3.0])
    half = 4.302652729911275 * 1 / math.sqrt(3)  # Student's t for two degrees of freedom, 97.5 %
    assert (found.estimate, found.low, found.high) == pytest.approx((2, 2 - half, 2 + half))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (1.5, "1.5"), (999.6, "1000"), (1234.5, "1234"), (-56789, "-56789"), (math.inf, "inf")],
)
def test_numbers_in_short(value, text):
    assert short(value) == text


def test_one_value_says_nothing_of_the_spread():
    found = mean_interval([4.0])
    assert (found.estimate, found.low, found.high) == (4, -math.inf, math.inf)


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    found = [mean_interval(rng.normal(5, 2, 3)) for _ in range(2000)]
    assert np.mean([interval.low <= 5 <= interval.high for interval in found]) == pytest.approx(0.95, abs=0.02)


def test_ratio_of_means():
    rng = np.random.default_rng(0)
    below = rng.uniform(1, 2, 200)
    found = ratio_interval(3 * below + rng.normal(0, 0.1, 200), below)
    assert found.low < 3 < found.high
    assert found.high - found.low < 0.1


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.floats(0.5, 5))
def test_effects_turn_with_their_samples(values, gap):
    values = np.array(values)
    noise = np.linspace(-0.1, 0.1, len(values))
    there, back = paired_effect(values + gap + noise, values), paired_effect(values, values + gap + noise)
    assert there.difference.estimate == pytest.approx(gap)
    assert there.size == pytest.approx(-back.size)
    assert {there.verdict, back.verdict} in ({"above", "below"}, {"undecided"})


@pytest.mark.parametrize(
    ("gaps", "size", "verdict"),
    [([1.0, 1.0, 1.0], math.inf, "above"), ([0.0, 0.0], 0.0, "undecided"), ([1.0, -1.0], 0.0, "undecided")],
)
def test_effects_at_their_edges(gaps, size, verdict):
    found = paired_effect(gaps, np.zeros(len(gaps)))
    assert (found.size, found.verdict, found.pairs) == (size, verdict, len(gaps))


def test_the_interquartile_mean_leaves_out_both_ends():
    assert interquartile_mean(np.array([-100.0, 1, 2, 3, 4, 5, 6, 100])) == pytest.approx(3.5)


def test_what_lies_above_the_optimum_makes_up_for_nothing():
    assert optimality_gap(np.array([0.5, 1.5])) == pytest.approx(0.25)


def test_aggregates_hold_the_true_value_and_need_more_than_one_seed():
    rng = np.random.default_rng(0)
    scores = 0.9 + rng.normal(0, 0.02, (40, 5))
    found = aggregate_interval(scores, interquartile_mean)
    assert found.low < found.estimate < found.high
    assert found.low < 0.9 < found.high
    assert found.high - found.low < 0.01
    assert aggregate_interval(scores, interquartile_mean) == found
    assert aggregate_interval(scores[:1], interquartile_mean).high == math.inf


def test_resamples_stay_within_their_task():
    scores = np.tile([0.0, 1.0], (3, 1))  # seeds agree, tasks don't: nothing is uncertain
    assert aggregate_interval(scores, optimality_gap) == Interval(0.5, 0.5, 0.5)


def test_intervals_are_spread_over_three_columns():
    table = spread(pd.DataFrame({"name": ["a"], "value": [Interval(2.0, 1.0, 3.0)], "n": [4]}))
    assert table.to_dict("records") == [{"name": "a", "value": 2.0, "value_low": 1.0, "value_high": 3.0, "n": 4}]
    assert spread(pd.DataFrame(columns=["name", "value"])).empty


def test_markdown_leaves_texts_as_they_are():
    text = markdown(pd.DataFrame({"": ["Call"], "S1": ["1.00"]}))
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[::2]] == [
        ["", "S1"],
        ["Call", "1.00"],
    ]


def test_the_interval_of_a_share_is_wilsons():
    """By the R function prop.test(9, 10, correct = FALSE)."""
    found = share_interval(9, 10)
    assert found.estimate == 0.9
    assert (found.low, found.high) == pytest.approx((0.5958499, 0.9821238), abs=1e-6)
    assert share_interval(0, 5).low == 0
    assert share_interval(5, 5).high == 1

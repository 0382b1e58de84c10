"""The gap between simulated and measured, on numbers that can be worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from meshagents.report.text import gaps_in_words
from meshagents.validation.gap import LEAST_SETTINGS, blame, gaps, repeat_noise, tables
from meshagents.validation.validate import Validated, compare
from meshgym.types import SETTING_NAMES

NAMES = list(SETTING_NAMES)


def make(simulator, shop, offset, noise=0.0, repeats=2, count=60, seed=0):
    """Runs that lie ``offset(settings)`` QPS off the simulator, the repeats as far as ``noise`` to either side."""
    rng = np.random.default_rng(seed)
    grid = shop.rule_grid()
    rows = np.column_stack([grid[rng.permutation(len(grid))[:count]], rng.choice([1, 2, 4], count), np.full(count, 20)])
    settings = pd.DataFrame(rows, columns=NAMES).round(6)
    expected = simulator.predict(settings)
    parts = []
    for repeat in range(repeats):
        side = noise * (1 if repeat % 2 else -1) if repeats > 1 else 0
        qps = expected.qps.astype(float) + offset(settings) + side
        parts.append(
            settings.assign(
                qps=qps, p200=1 - expected.p503.astype(float), p503=expected.p503.astype(float), repeat=repeat
            )
        )
    runs = pd.concat(parts, ignore_index=True)
    decisions = {"random": settings.to_numpy(), "agent": settings.to_numpy()}
    return Validated("shop", simulator, runs, compare(decisions, simulator, runs), 0)


def in_words(validated):
    found = tables([validated])
    return gaps_in_words(found["gaps"], found["gap_inputs"])


def row(table, output, policy="all"):
    return table[(table["output"] == output) & (table["policy"] == policy)].iloc[0]


def test_gaps_by_hand(simulator, shop):
    found = gaps(make(simulator, shop, lambda settings: 6.0, noise=2.0))
    qps = row(found, "qps")
    assert qps["bias"].estimate == pytest.approx(6)
    assert qps["rms"] == pytest.approx(6)
    assert qps["measured"] - qps["simulated"] == pytest.approx(6)
    assert qps["noise"] == pytest.approx(2 * math.sqrt(2))  # two runs, 4 apart
    assert qps["multiple"] == pytest.approx(6 / (2 * math.sqrt(2)))
    assert set(found["policy"]) == {"all", "random", "agent"}
    p503 = row(found, "p503", "agent")
    assert p503["bias"].estimate == pytest.approx(0, abs=1e-9)
    assert math.isnan(p503["covered"])


@pytest.mark.parametrize(("beyond", "covered"), [(-0.1, 1.0), (0.1, 0.0)])
def test_coverage_is_that_of_single_runs(simulator, shop, beyond, covered):
    def off(settings):
        low, high = simulator.intervals(settings)["qps"].T
        return high + beyond * (high - low) - simulator.predict(settings).qps.astype(float)

    assert row(gaps(make(simulator, shop, off)), "qps")["covered"] == covered


def test_without_repeats_there_is_no_noise_to_compare_with(simulator, shop):
    validated = make(simulator, shop, lambda settings: 5.0, repeats=1)
    assert math.isnan(repeat_noise(validated.runs, "qps"))
    found = gaps(validated)
    assert math.isnan(row(found, "qps")["multiple"])
    assert "no noise" in in_words(validated)[0]


def test_the_input_that_makes_the_gap_is_blamed(simulator, shop):
    validated = make(simulator, shop, lambda settings: 30.0 * (settings["max_connections"] == 3), noise=1.0, count=100)
    blamed = blame(validated)
    qps = blamed[blamed["output"] == "qps"]
    assert qps["input"].iloc[0] == "max_connections"
    assert qps["importance"].is_monotonic_decreasing
    assert qps["explained"].iloc[0] > 0.8
    assert "large" in (sentence := in_words(validated)[0])
    assert "first of all max_connections" in sentence


def test_a_gap_that_is_the_same_everywhere_is_no_inputs_fault(simulator, shop):
    validated = make(simulator, shop, lambda settings: 30.0, noise=1.0, count=100)
    assert in_words(validated)[0].endswith(
        "large. 100% of its square is the same everywhere; no input explains the rest."
    )


def test_a_gap_within_the_noise_is_small(simulator, shop):
    validated = make(simulator, shop, lambda settings: 1.0, noise=2.0)
    assert in_words(validated)[0].endswith("small.")


def test_noise_is_put_down_to_nothing(simulator, shop):
    rng = np.random.default_rng(1)
    validated = make(simulator, shop, lambda settings: rng.normal(0, 50, len(settings)), noise=0.1, count=100)
    blamed = blame(validated)
    assert blamed["importance"].min() >= 0
    assert blamed[blamed["output"] == "qps"]["explained"].max() < 0.3


def test_few_settings_are_not_interpreted(simulator, shop):
    assert blame(make(simulator, shop, lambda settings: 1.0, count=LEAST_SETTINGS - 1)).empty

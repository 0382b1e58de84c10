"""What the order of a collection tells: all of it where a run leaves something to the next, nothing where none does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from meshgym.simulator.arrays import TraceArrays
from meshgym.simulator.order import correct_by_order

ROWS = 1200


def collection(left_to_the_next: float, drift: float) -> tuple[TraceArrays, NDArray[np.float64]]:
    """Runs whose disturbance lives on by a share and drifts, and what their settings alone predict."""
    generator = np.random.default_rng(0)
    settings = generator.integers(1, 6, (ROWS, 9)).astype(float)
    disturbed = generator.normal(size=(ROWS, 2))
    for row in range(1, ROWS):
        disturbed[row] += left_to_the_next * disturbed[row - 1]
    disturbed += drift * np.linspace(-1, 1, ROWS)[:, None]
    expected = settings[:, :2]
    return TraceArrays(settings, expected + disturbed, np.arange(ROWS)), expected


def improvement(left_to_the_next: float, drift: float) -> float:
    """Squared error on the test part, corrected over plain."""
    measured, expected = collection(left_to_the_next, drift)
    train, test = measured.split(seed=0)
    corrected = correct_by_order(measured, expected, train)
    return float(
        np.square(corrected - measured.targets)[test].mean() / np.square(expected - measured.targets)[test].mean()
    )


@pytest.mark.parametrize(("left_to_the_next", "drift"), [(0.9, 0.0), (0.0, 2.0)], ids=["leaking", "drifting"])
def test_what_the_order_explains_is_found(left_to_the_next: float, drift: float) -> None:
    # known exactly, the runs before explain 81 % of the variance, and the drift 57 %
    assert improvement(left_to_the_next, drift) < 0.6


def test_runs_that_start_afresh_have_nothing_to_find() -> None:
    assert improvement(0.0, 0.0) > 0.95


def test_a_test_row_learns_nothing_of_its_own_outcome() -> None:
    measured, expected = collection(0.5, 1.0)
    train, test = measured.split(seed=0)
    last = int(test.max())
    corrected = correct_by_order(measured, expected, train[train < last])[last]
    targets = measured.targets.copy()
    targets[last:] += 100
    again = correct_by_order(TraceArrays(measured.settings, targets, measured.groups), expected, train[train < last])
    np.testing.assert_array_equal(corrected, again[last])


def test_one_seed_gives_one_correction() -> None:
    measured, expected = collection(0.5, 1.0)
    train, _ = measured.split(seed=0)
    first, again = (correct_by_order(measured, expected, train, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)

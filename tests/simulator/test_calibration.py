"""Intervals hold in each region, and draws follow the quantiles they come from."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from meshgym.simulator.calibration import COVERAGE, LEVELS, Calibration, calibrate, deviation, draw

NORMAL = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def made_up(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets whose noise grows with their mean, and a model that takes it as the same everywhere."""
    generator = np.random.default_rng(seed)
    mean = generator.uniform(0, 1, (count, 1))
    targets = mean + generator.normal(0, 0.05 + 0.3 * mean)
    residual = np.broadcast_to(0.1 * NORMAL, (count, 1, len(LEVELS)))
    return mean, residual, targets


def inside(calibration: Calibration, mean: np.ndarray, residual: np.ndarray, targets: np.ndarray) -> np.ndarray:
    low, high = calibration.quantiles(mean, residual)[..., [0, -1]].transpose(2, 0, 1)
    found: np.ndarray = (low <= targets) & (targets <= high)
    return found


def test_intervals_hold_in_each_region() -> None:
    calibration = calibrate(*made_up(6000, 0))
    mean, residual, targets = made_up(20_000, 1)
    covered = inside(calibration, mean, residual, targets)
    assert covered.mean() == pytest.approx(COVERAGE, abs=0.015)
    assert covered[mean > 0.9].mean() == pytest.approx(COVERAGE, abs=0.04)
    assert inside(Calibration.none(1), mean, residual, targets)[mean > 0.9].mean() < 0.5  # as the model has them


def test_runs_without_an_outcome_do_not_count() -> None:
    mean, residual, targets = made_up(4000, 2)
    calibration = calibrate(mean, residual, np.where(mean < 0.5, targets, np.nan))
    upper = calibration.edges[0].searchsorted(0.95)
    assert calibration.margins[0, upper] == 0
    assert np.isfinite(calibration.margins).all()


@pytest.mark.parametrize(("runs", "regions"), [(20, 1), (40, 2), (60, 3), (250, 3), (400, 4), (6000, 12)])
def test_the_more_runs_the_more_regions(runs: int, regions: int) -> None:
    calibration = calibrate(*made_up(runs, 3))
    assert calibration.margins.shape == (1, regions)
    assert calibration.edges.shape == (1, regions - 1)


def test_intervals_of_few_runs_hold_where_noise_depends_on_the_level() -> None:
    """Where nothing scatters, nothing is uncertain: the region of the lowest predictions tells it of the others."""
    generator, covered, narrow = np.random.default_rng(4), [], []
    for _ in range(200):
        mean = generator.uniform(0, 1, (61, 1))
        targets = mean + np.where(mean > 0.5, 0.2, 0.005) * generator.normal(size=mean.shape)
        residual = np.broadcast_to(0.1 * NORMAL, (61, 1, len(LEVELS)))
        calibration = calibrate(mean[:60], residual[:60], targets[:60])
        low, high = calibration.quantiles(mean[60:], residual[60:])[0, 0, [0, -1]]
        covered.append(low <= targets[60, 0] <= high)
        narrow += [high - low] if mean[60, 0] < 0.25 else []
    assert np.mean(covered) >= 0.87
    assert np.mean(narrow) < 0.05


def test_the_deviation_of_a_normal_distribution() -> None:
    assert deviation(3 * NORMAL) == pytest.approx(3, rel=0.03)


def test_draws_have_the_quantiles_and_the_correlation_they_come_from() -> None:
    quantiles = np.broadcast_to(np.stack([NORMAL, 5 + 2 * NORMAL]), (40_000, 2, len(LEVELS)))
    correlation = np.array([[1.0, -0.8], [-0.8, 1.0]])
    drawn = draw(quantiles, correlation, np.random.default_rng(0))
    np.testing.assert_allclose(np.quantile(drawn, LEVELS, axis=0), quantiles[0].T, atol=0.06)
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(-0.8, abs=0.02)


def test_a_distribution_may_have_two_modes() -> None:
    quantiles = np.repeat([0.0, 1.0], len(LEVELS) // 2)
    drawn = draw(np.broadcast_to(quantiles, (10_000, 1, len(LEVELS))), np.eye(1), np.random.default_rng(0))
    assert ((drawn > 0.01) & (drawn < 0.99)).mean() < 0.12
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)


def test_ranks_of_targets_that_go_together() -> None:
    generator = np.random.default_rng(4)
    first = generator.normal(size=(5000, 1))
    targets = np.hstack([first, 0.9 * first + 0.4 * generator.normal(size=(5000, 1))])
    residual = np.broadcast_to(NORMAL, (5000, 2, len(LEVELS)))
    found = calibrate(np.zeros((5000, 2)), residual, targets).correlation
    assert found[0, 1] == pytest.approx(0.9, abs=0.06)

"""The rivals share one interface, and each learns what its form can hold."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from meshgym.simulator.features import Features
from meshgym.simulator.models import RIVALS, FractionalLogit

FloatArray = NDArray[np.float64]


@pytest.fixture
def linear(settings: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Settings and outcomes that depend only on threads and calls, nearly linearly."""
    threads, calls = settings[:, 7], settings[:, 8]
    return settings, np.column_stack([50 * threads + 0.1 * calls, 0.05 * threads + 0.0005 * calls])


@pytest.mark.parametrize("name", [name for name in RIVALS if name not in ("mean", "MLP, paper's preset")])
def test_rivals_learn_a_plain_relation(name: str, linear: tuple[FloatArray, FloatArray]) -> None:
    settings, targets = linear
    predicted = RIVALS[name](0, Features()).fit(settings[:800], targets[:800]).predict(settings[800:])
    assert predicted.shape == (200, 2)
    unexplained = (predicted - targets[800:]).var(axis=0) / targets[800:].var(axis=0)
    assert unexplained.max() < 0.05


def test_the_mean_knows_no_setting(linear: tuple[FloatArray, FloatArray]) -> None:
    settings, targets = linear
    predicted = RIVALS["mean"](0, Features()).fit(settings, targets).predict(settings)
    np.testing.assert_allclose(predicted, np.broadcast_to(targets.mean(axis=0), predicted.shape))


def test_fractional_logit_finds_the_curve_it_assumes() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(5000, 1))
    share = 1 / (1 + np.exp(-2 * inputs))
    predicted = FractionalLogit().fit(inputs, share).predict(inputs)
    np.testing.assert_allclose(predicted, share, atol=0.02)


def test_fractional_logit_of_what_never_changes() -> None:
    inputs = np.arange(10.0)[:, None]
    predicted = FractionalLogit().fit(inputs, np.full((10, 1), 7.0)).predict(inputs)
    np.testing.assert_allclose(predicted, 7.0, atol=0.1)

"""A simulator with drawn weights: files and arithmetic can be tested without training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from meshgym.scenarios import load_scenario
from meshgym.simulator.artefact import Identity, Scaling, Simulator
from meshgym.simulator.features import Features
from meshgym.simulator.network import Ensemble, quantise


def _drawn_simulator(
    targets: int = 2, seed: int = 0, members: int = 3, width: int = 16, spread: float = 1.0
) -> Simulator:
    """An untrained simulator over S2's ranges."""
    generator = np.random.default_rng(seed)
    shapes = list(itertools.pairwise([len(FEATURE_NAMES), width, width, 2 * targets]))
    ranges = load_scenario("S2").ranges.values()
    ensemble = Ensemble(
        weights=tuple(quantise(generator.normal(0, i**-0.5, (members, i, o))) for i, o in shapes),
        biases=tuple(quantise(generator.normal(0, 0.3, (members, 1, o))) for _, o in shapes),
    )
    scaling = Scaling(
        low=np.array([span.low for span in ranges], dtype=np.float64),
        high=np.array([span.high for span in ranges], dtype=np.float64),
        input_mean=generator.uniform(1, 5, len(FEATURE_NAMES)),
        input_scale=generator.uniform(50, 200, len(FEATURE_NAMES)),
        output_mean=np.array([400.0, 0.4, 0.5])[:targets],
        output_scale=np.array([150.0, 0.3, 0.3])[:targets],
        spread=np.full(targets, spread),
        correlation=np.array(0.7),
    )
    return Simulator(ensemble, scaling, Identity(scenario="S2", traces="0" * 64, seed=seed, metrics={"mse": 0.5}))


def _settings(rows: int) -> NDArray[np.float64]:
    """Settings drawn from S2's ranges, shape (rows, 9)."""
    generator = np.random.default_rng(1)
    return np.column_stack([generator.choice(span.values, rows) for span in load_scenario("S2").ranges.values()])


FEATURE_NAMES = Features().names


@pytest.fixture(scope="session")
def make_simulator() -> Callable[..., Simulator]:
    return _drawn_simulator


@pytest.fixture(scope="session")
def make_settings() -> Callable[[int], NDArray[np.float64]]:
    return _settings


@pytest.fixture
def simulator() -> Simulator:
    return _drawn_simulator()


@pytest.fixture
def settings() -> NDArray[np.float64]:
    return _settings(1000)


@contextmanager
def _quick_recipe() -> Iterator[None]:
    from meshgym.simulator import training

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "RECIPES", {"small": replace(training.RECIPES["small"], members=4, least_steps=150)})
        yield


@pytest.fixture(scope="session")
def quick_recipe() -> Callable[[], AbstractContextManager[None]]:
    """One small recipe, trained for a moment: for where it does not matter how well is learned."""
    return _quick_recipe

"""A simulator with drawn weights: everything about files and arithmetic, without training."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from meshgym.scenarios import load_scenario
from meshgym.simulator.artefact import Identity, Scaling, Simulator
from meshgym.simulator.features import FEATURE_NAMES
from meshgym.simulator.network import Ensemble, quantise


def drawn_simulator(targets: int = 2, seed: int = 0, members: int = 3, width: int = 16) -> Simulator:
    """An untrained simulator over S2's ranges."""
    generator = np.random.default_rng(seed)
    sizes = [len(FEATURE_NAMES), width, width, 2 * targets]
    shapes = list(itertools.pairwise(sizes))
    ranges = load_scenario("S2").ranges.values()
    ensemble = Ensemble(
        weights=tuple(quantise(generator.normal(0, i**-0.5, (members, i, o))) for i, o in shapes),
        biases=tuple(quantise(generator.normal(0, 0.3, (members, 1, o))) for _, o in shapes),
    )
    scaling = Scaling(
        low=np.array([span.low for span in ranges], dtype=np.float64),
        high=np.array([span.high for span in ranges], dtype=np.float64),
        input_mean=generator.uniform(1, 5, len(FEATURE_NAMES)),
        input_scale=generator.uniform(1, 50, len(FEATURE_NAMES)),
        output_mean=np.array([400.0, 0.4, 0.5])[:targets],
        output_scale=np.array([150.0, 0.3, 0.3])[:targets],
        spread=np.ones(targets),
        correlation=np.array(0.7),
    )
    return Simulator(ensemble, scaling, Identity(scenario="S2", traces="0" * 64, seed=seed, metrics={"mse": 0.5}))


@pytest.fixture
def simulator() -> Simulator:
    return drawn_simulator()


@pytest.fixture
def settings() -> np.ndarray:
    """1000 settings of S2, shape (1000, 9)."""
    generator = np.random.default_rng(1)
    return np.column_stack([generator.choice(span.values, 1000) for span in load_scenario("S2").ranges.values()])

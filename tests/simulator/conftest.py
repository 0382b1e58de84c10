"""A simulator with drawn weights: files and arithmetic can be tested without training."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from meshgym.scenarios import load_scenario
from meshgym.simulator.artefact import Identity, Simulator
from meshgym.simulator.calibration import LEVELS, Calibration
from meshgym.simulator.features import Features
from meshgym.simulator.network import Ensemble, Perceptrons, quantise
from meshgym.simulator.scaling import Scaling

#: Outcomes of a drawn simulator: mean and scale of their targets.
OUTCOMES = {
    "qps": (400.0, 150.0),
    "p503": (0.4, 0.3),
    "p200": (0.5, 0.3),
    "p_overflow": (0.1, 0.2),
    "p_no_healthy_host": (0.2, 0.2),
    "p_upstream_error": (0.1, 0.2),
    "latency_p50_s": (-4.0, 0.5),
    "latency_p99_s": (-3.5, 0.5),
}


def _drawn_simulator(
    targets: int = 2, seed: int = 0, members: int = 3, width: int = 16, spread: float = 0.3
) -> Simulator:
    """An untrained simulator of the first outcomes over S2's ranges; ``spread`` is the deviation of single runs."""
    generator = np.random.default_rng(seed)
    outcomes = tuple(OUTCOMES)[:targets]
    shapes = list(itertools.pairwise([len(FEATURE_NAMES), width, width, targets * (1 + len(LEVELS))]))
    ranges = load_scenario("S2").ranges.values()
    weights = tuple(quantise(generator.normal(0, i**-0.5, (members, i, o))) for i, o in shapes)
    biases = tuple(quantise(generator.normal(0, 0.3, (members, 1, o))) for _, o in shapes)
    normal = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    weights[-1][..., targets:] = 0
    biases[-1][..., targets:] = quantise(np.tile(spread * normal, targets))
    scaling = Scaling(
        low=np.array([span.low for span in ranges], dtype=np.float64),
        high=np.array([span.high for span in ranges], dtype=np.float64),
        input_mean=generator.uniform(1, 5, len(FEATURE_NAMES)),
        input_scale=generator.uniform(50, 200, len(FEATURE_NAMES)),
        output_mean=np.array([OUTCOMES[name][0] for name in outcomes]),
        output_scale=np.array([OUTCOMES[name][1] for name in outcomes]),
    )
    correlation = np.full((targets, targets), 0.7) + 0.3 * np.eye(targets)
    calibration = replace(Calibration.none(targets), correlation=correlation)
    identity = Identity(scenario="S2", traces="0" * 64, seed=seed, metrics={"mse": 0.5}, outcomes=outcomes)
    return Simulator(Perceptrons(Ensemble(weights, biases), targets), scaling, identity, calibration)


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

"""A small service whose simulator has drawn weights: environments can be tested without training."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from meshgym.scenarios import Scenario, parse_scenario
from meshgym.simulator import Identity, Simulator
from meshgym.simulator.artefact import Scaling
from meshgym.simulator.features import FEATURE_NAMES
from meshgym.simulator.network import Ensemble, quantise

SHOP = """
[rules]
http1_max_pending_requests = [1, 4]
max_connections = [1, 3]
max_requests_per_connection = 2
base_ejection_time_s = 180
max_ejection_percent = [10, 50, 20]
interval_s = [0.1, 0.3, 0.1]
consecutive_5xx_errors = 1
[load]
threads = [1, 4]
calls = [20, 60]
[actions]
threads = [1, 2, 4]
calls = [20, 30, 40, 60]
[service]
replicas = 2
service_time_ms = 1
burst = 8
rate_per_s = 40
mtls = false
"""


@pytest.fixture(scope="session")
def shop_text() -> str:
    return SHOP


@pytest.fixture(scope="session")
def shop() -> Scenario:
    """108 combinations of rules, three threads, four calls."""
    return parse_scenario("shop", SHOP)


@pytest.fixture(scope="session")
def simulator(shop: Scenario) -> Simulator:
    """Over the shop's ranges; what it answers means nothing, but differs everywhere."""
    generator = np.random.default_rng(7)
    sizes = list(itertools.pairwise([len(FEATURE_NAMES), 16, 4]))
    ranges = shop.ranges.values()
    scaling = Scaling(
        low=np.array([span.low for span in ranges]),
        high=np.array([span.high for span in ranges]),
        input_mean=generator.uniform(1, 5, len(FEATURE_NAMES)),
        input_scale=generator.uniform(5, 20, len(FEATURE_NAMES)),
        output_mean=np.array([400.0, 0.4]),
        output_scale=np.array([100.0, 0.1]),
        spread=np.ones(2),
        correlation=np.array(0.5),
    )
    ensemble = Ensemble(
        weights=tuple(quantise(generator.normal(0, i**-0.5, (2, i, o))) for i, o in sizes),
        biases=tuple(quantise(generator.normal(0, 0.3, (2, 1, o))) for _, o in sizes),
    )
    return Simulator(ensemble, scaling, Identity(scenario="shop", traces="0" * 64, seed=7))

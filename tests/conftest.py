"""A small service whose simulator has drawn weights: environments can be tested without training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import pytest

from meshgym.scenarios import Scenario, parse_scenario
from meshgym.simulator import Simulator
from meshgym.testing import untrained_simulator

if "PYTEST_XDIST_WORKER" in os.environ:  # side by side, more threads would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start slow tests first, those of README and docs before all, so that no worker waits for them at the end."""
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, len(item.path.parts)))


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
    """Over the shop's ranges."""
    return untrained_simulator(shop)


@contextmanager
def _quick_recipe() -> Iterator[None]:
    from meshgym.simulator import selection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "RECIPES", {"small": replace(selection.RECIPES["small"], members=4, least_steps=150)})
        yield


@pytest.fixture(scope="session")
def quick_recipe() -> Callable[[], AbstractContextManager[None]]:
    """One small recipe, trained for a moment: for where it does not matter how well is learned."""
    return _quick_recipe

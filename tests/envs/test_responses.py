"""Tables answer as their simulators do."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from meshgym.envs.responses import TableResponses
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.testing import untrained_simulator
from meshgym.types import SETTING_NAMES


@pytest.fixture
def responses(shop: Scenario) -> TableResponses:
    return TableResponses(untrained_simulator(shop), shop)


def _predicted(responses: TableResponses, simulator: Simulator, shop: Scenario, index: Any) -> dict[str, Any]:
    row, threads, calls = (np.atleast_1d(one) for one in index)
    settings = np.column_stack(
        [
            responses.rules[row],
            np.array(shop.actions["threads"])[threads],
            np.array(shop.actions["calls"])[calls],
        ]
    )
    assert settings.shape == (len(row), len(SETTING_NAMES))
    return vars(simulator.predict(settings))


def test_many_at_once(responses: TableResponses, simulator: Simulator, shop: Scenario) -> None:
    everything = np.array(list(itertools.product(range(108), range(3), range(4))))
    generator = np.random.default_rng(0)
    for _ in range(3):
        index = generator.permutation(everything)[:700].T
        answer = responses(*index)
        for name, column in _predicted(responses, simulator, shop, index).items():
            assert np.array_equal(answer[name], column)


def test_one_at_a_time(responses: TableResponses, simulator: Simulator, shop: Scenario) -> None:
    for index in [(0, 0, 0), (107, 2, 3), (5, 1, 2), (5, 0, 1)]:
        answer = responses(*index)
        assert {name: column[0] for name, column in _predicted(responses, simulator, shop, index).items()} == answer
        assert type(answer["qps"]) is float
        assert type(answer["outside"]) is bool

"""The table equals the model, and asks it once for each entry."""

from __future__ import annotations

import copy
import itertools
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from meshgym.errors import InvalidValueError
from meshgym.scenarios import Range, Scenario, load_scenario
from meshgym.simulator import ResponseTable, Simulator, response_table
from meshgym.types import SETTING_NAMES, Response


@pytest.fixture
def scenario() -> Scenario:
    """Your own scenario: no range or action is one of S1..S5."""
    own = load_scenario("S2")
    rules = own.rules | {"max_connections": Range(2, 8, 3), "base_ejection_time_s": Range(0.5, 1.5, 0.5)}
    return replace(own, name="own", rules=rules, actions={"threads": (2, 9), "calls": (60, 100, 1000)})


def test_the_table_equals_the_model(simulator: Simulator, scenario: Scenario) -> None:
    table = ResponseTable(simulator, scenario)
    assert table.rules.shape == (5 * 3 * 5 * 3, 7)
    generator = np.random.default_rng(0)
    chosen = [generator.integers(0, size, 500) for size in (len(table.rules), 2, 3)]
    for _ in range(2):  # what was filled by the first look stays as it is
        found = table.lookup(*chosen)
        settings = np.column_stack(
            [
                table.rules[chosen[0]],
                np.array(scenario.actions["threads"])[chosen[1]],
                np.array(scenario.actions["calls"])[chosen[2]],
            ]
        )
        expected = simulator.predict(settings)
        for column, name in enumerate(Response._fields[:-1]):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)
            np.testing.assert_array_equal(table.entries[table.index(*chosen), column], getattr(expected, name))


def test_rules_are_in_c_order(simulator: Simulator, scenario: Scenario) -> None:
    rules = ResponseTable(simulator, scenario).rules
    order = np.lexsort(rules.T[::-1])
    np.testing.assert_array_equal(order, np.arange(len(rules)))
    assert len(np.unique(rules, axis=0)) == len(rules)


def test_each_entry_is_predicted_once(
    simulator: Simulator, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    predict = simulator.predict

    def counting(settings: Any) -> Any:
        sizes.append(len(settings))
        return predict(settings)

    monkeypatch.setattr(simulator, "predict", counting)
    table = ResponseTable(simulator, scenario)
    rows = np.array([3, 3, 4])
    table.lookup(rows, rows * 0, rows * 0)
    table.lookup(rows, rows * 0, rows * 0)
    assert sizes == [2]


def test_a_grid_that_fits_nowhere_is_refused(simulator: Simulator, scenario: Scenario) -> None:
    huge = replace(scenario, rules=scenario.rules | {"max_connections": Range(1, 10**6)})
    with pytest.raises(InvalidValueError, match="larger steps"):
        ResponseTable(simulator, huge)


def test_tables_are_shared(simulator: Simulator, scenario: Scenario) -> None:
    assert response_table(simulator, scenario) is response_table(simulator, scenario)
    assert response_table(simulator, scenario) is not response_table(simulator, load_scenario("S2"))


def test_copies_and_pickles_leave_the_tables_behind(simulator: Simulator, scenario: Scenario) -> None:
    response_table(simulator, scenario).lookup(*np.zeros((3, 1), dtype=int))
    for twin in (copy.deepcopy(simulator), pickle.loads(pickle.dumps(simulator))):
        assert twin.tables == {}
        settings = [span.low for span in scenario.ranges.values()]
        assert twin.predict([settings]).qps == simulator.predict([settings]).qps


def _predicted(table: ResponseTable, index: Any) -> Response:
    settings = table.settings(*(np.atleast_1d(one) for one in index))
    assert settings.shape == (np.size(index[0]), len(SETTING_NAMES))
    return table.simulator.predict(settings)


def test_many_at_once(simulator: Simulator, scenario: Scenario) -> None:
    table = ResponseTable(simulator, scenario)
    everything = np.array(list(itertools.product(range(225), range(2), range(3))))
    generator = np.random.default_rng(0)
    for _ in range(3):
        index = generator.permutation(everything)[:700].T
        found, expected = table.measure(*index), _predicted(table, index)
        for name in Response._fields[:-1]:
            assert np.array_equal(getattr(found, name), getattr(expected, name))
        assert found.qps.dtype == np.float64
        assert found.outside.dtype == bool


def test_one_at_a_time(simulator: Simulator, scenario: Scenario) -> None:
    table = ResponseTable(simulator, scenario)
    for index in [(0, 0, 0), (224, 1, 2), (5, 1, 2), (5, 0, 1)]:
        found = table.measure(*index)
        assert found[:-1] == tuple(column[0] for column in _predicted(table, index)[:-1])
        assert type(found.qps) is float
        assert type(found.outside) is bool


def test_tables_cross_processes_empty(simulator: Simulator, scenario: Scenario) -> None:
    table = response_table(simulator, scenario)
    found = table.measure(3, 1, 2)
    thawed = pickle.loads(pickle.dumps(table))
    assert not thawed.filled.any()
    assert thawed.measure(3, 1, 2) == found

"""Where the rules come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from meshgym.envs.contexts import load_contexts
from meshgym.errors import InvalidValueError
from meshgym.scenarios import SCENARIO_NAMES, Scenario, load_scenario
from meshgym.simulator import Simulator, response_table
from meshgym.types import RULE_NAMES


def _drawn(scenario: Scenario, contexts: Any, n_free: int, size: int = 20_000, seed: int = 0) -> Any:
    return load_contexts(contexts, scenario, n_free)([np.random.default_rng(seed)], None, size)[0]


def test_the_grid_is_the_one_the_table_is_indexed_by(shop: Scenario, simulator: Simulator) -> None:
    assert np.array_equal(shop.rule_grid(), response_table(simulator, shop).rules)


@pytest.mark.parametrize("name", SCENARIO_NAMES[:4])
def test_the_grid_holds_each_combination_once(name: str) -> None:
    scenario = load_scenario(name)
    grid = scenario.rule_grid()
    assert len(np.unique(grid, axis=0)) == len(grid) == np.prod([len(span.values) for span in scenario.rules.values()])


def test_uniform_contexts_are_uniform(shop: Scenario) -> None:
    counts = np.bincount(_drawn(shop, "uniform", 2, 108 * 2 * 500), minlength=108 * 2)
    chi_square = ((counts - 500) ** 2 / 500).sum()
    assert len(counts) == 216
    assert chi_square < 300  # 215 degrees of freedom: exceeded once in 10,000 times, and the seed is fixed


def test_a_walk_takes_small_steps_and_reaches_everything(shop: Scenario) -> None:
    contexts = _drawn(shop, "walk", 3)
    rules = shop.rule_grid()[contexts // 3]
    steps = np.array([span.step for span in shop.rules.values()])
    moves = np.diff(rules, axis=0) / steps
    assert np.allclose(moves, np.rint(moves))
    assert np.abs(moves).max() < 1.001
    assert set(contexts // 3) == set(range(108))
    assert set(contexts % 3) == {0, 1, 2}
    share = (np.abs(moves[:, 0]) < 0.5).mean()
    assert 0.3 < share < 0.5  # a third stays, and some more do where the walk turns back


def test_a_walk_goes_on_from_one_block_to_the_next(shop: Scenario) -> None:
    draw = load_contexts("walk", shop, 3)
    generator = np.random.default_rng(1)
    steps = np.array([span.step for span in shop.rules.values()])
    last = None
    for _ in range(200):
        block = draw([generator], None if last is None else np.array([last]), 2)[0]
        if last is not None:
            move = (shop.rule_grid()[block[0] // 3] - shop.rule_grid()[last // 3]) / steps
            assert np.abs(move).max() < 1.001
        last = int(block[-1])


def test_contexts_from_traces_are_as_frequent_as_there(shop: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = shop.rule_grid()
    traces = pd.DataFrame(grid[[5, 70, 70, 70]], columns=list(RULE_NAMES))
    loaded = []
    monkeypatch.setattr("meshgym.traces.store.load_traces", lambda name: (loaded.append(name), traces)[1])
    rows, counts = np.unique(_drawn(shop, "traces", 2) // 2, return_counts=True)
    assert loaded == ["shop"]
    assert rows.tolist() == [5, 70]
    assert counts[1] / counts[0] == pytest.approx(3, rel=0.1)


def test_own_rules_are_drawn_with_every_free_value(shop: Scenario) -> None:
    contexts = _drawn(shop, shop.rule_grid()[[8, 2]], 4)
    assert set(contexts // 4) == {2, 8}
    assert set(contexts % 4) == {0, 1, 2, 3}


def test_own_rules_have_to_lie_on_the_grid(shop: Scenario) -> None:
    rules = shop.rule_grid()[:3]
    rules[1, 4] = 20
    with pytest.raises(InvalidValueError, match=r"max_ejection_percent in contexts is 20\.0; allowed: 10, 30, 50"):
        _drawn(shop, rules, 1)
    with pytest.raises(InvalidValueError, match="shape of contexts"):
        _drawn(shop, rules[:, :6], 1)
    with pytest.raises(InvalidValueError, match="shape of contexts"):
        _drawn(shop, [], 1)

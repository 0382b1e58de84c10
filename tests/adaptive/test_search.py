"""A search asks for what its goal needs, says what it may still lose, and is the same each time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from arithmetic import SCENARIO, respond

from meshgym.adaptive.search import COVER, EDGE, FOR_GOAL, GOALS, Search
from meshgym.errors import InvalidValueError, UnknownNameError

LOADS = np.array(list(itertools.product(*SCENARIO.actions.values())), dtype=np.float64)
RULES = np.array(list(itertools.product(range(1, 21, 3), range(1, 21, 3))), dtype=np.float64)


def searched(runs: int, seed: int = 0, **options) -> Search:
    search, generator = Search(SCENARIO, runs=runs, seed=seed, **options), np.random.default_rng(seed)
    while len((batch := search.ask()).settings):
        search.tell(batch.settings, respond(batch.settings, generator))
    return search


def share(search: Search) -> float:
    """The reward of its decisions as a share of the best one's."""
    every = np.column_stack([np.repeat(RULES, len(LOADS), axis=0), np.tile(LOADS, (len(RULES), 1))])
    best = np.max((respond(every).qps * respond(every).p503).reshape(len(RULES), -1), axis=1)
    response = respond(np.column_stack([RULES, search.decide(RULES)]))
    return float((response.qps * response.p503).mean() / best.mean())


@pytest.mark.slow
def test_a_search_beats_as_many_runs_that_cover_the_ranges() -> None:
    shares = {
        goal: np.mean([share(_as_worst_load(searched(100, seed, goal=goal))) for seed in range(3)]) for goal in GOALS
    }
    assert shares["worst-load"] > 0.96
    assert shares["worst-load"] > shares["map"]


def _as_worst_load(search: Search) -> Search:
    """A search for the worst load that was told the same."""
    other = Search(SCENARIO, runs=search.runs)
    other.tell(*search.told())
    return other


def test_decisions_are_actions() -> None:
    decided = searched(60).decide(RULES)
    assert {tuple(one) for one in decided} <= {tuple(one) for one in LOADS}


def test_the_regret_is_an_upper_bound_that_falls() -> None:
    found = [searched(runs) for runs in (40, 160)]
    bounds = [search.regret() for search in found]
    assert bounds[1] < bounds[0]
    for search, bound in zip(found, bounds, strict=True):
        assert 1 - share(search) <= bound


def test_it_ends_when_the_regret_is_small_enough() -> None:
    search = searched(400, regret=0.05)
    assert search.asked < 400
    assert search.regret() <= 0.05


def test_rules_are_asked_for_where_half_of_the_requests_fail() -> None:
    search, generator = Search(SCENARIO, "rules", 120), np.random.default_rng(0)
    near = {COVER: [], FOR_GOAL: []}
    while len((batch := search.ask()).settings):
        response = respond(batch.settings, generator)
        search.tell(batch.settings, response)
        for why, own in near.items():
            own += list(np.abs(response.p503 - EDGE)[batch.asked == why])
    assert np.mean(near[FOR_GOAL]) < 0.7 * np.mean(near[COVER])
    assert 0 < search.regret() < 0.1


@pytest.mark.parametrize("goal", GOALS)
def test_the_first_runs_cover_the_ranges_and_so_does_one_in_ten(goal: str) -> None:
    search, asked = Search(SCENARIO, goal, 65), []
    while len((batch := search.ask()).settings):
        search.tell(batch.settings, respond(batch.settings))
        asked.append(batch.asked)
    assert [len(one) for one in asked] == [40, 20, 5]
    assert not asked[0].any()
    assert [(one == COVER).sum() for one in asked[1:]] == [2, 1]


@pytest.mark.parametrize("goal", GOALS)
def test_a_search_goes_on_as_if_it_had_not_been_stopped(goal: str) -> None:
    search, told = Search(SCENARIO, goal, 100), []
    for _ in range(2):
        batch = search.ask()
        response = respond(batch.settings, np.random.default_rng(len(told)))
        search.tell(batch.settings, response)
        told.append((batch.settings, response))
    again = Search(SCENARIO, goal, 100)
    for settings, response in told:
        again.tell(settings, response)
    again.asked = 60
    np.testing.assert_array_equal(again.ask().settings, search.ask().settings)


def test_with_nothing_told_nothing_is_known() -> None:
    search = Search(SCENARIO)
    assert search.regret() == 1.0
    with pytest.raises(InvalidValueError, match="runs told is 0; allowed: at least 20"):
        search.decide(RULES)


def test_failed_runs_may_be_left_out() -> None:
    search = Search(SCENARIO, runs=60)
    batch = search.ask()
    search.tell(batch.settings[:5], respond(batch.settings[:5]))
    assert not search.ask().asked.any()  # too few to learn from: the ranges are covered


def test_settings_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="shape of settings"):
        Search(SCENARIO).tell(np.ones((2, 3)), respond(np.ones((2, 4))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": 0}, "runs is 0; allowed: a whole number 1..2000"),
        ({"regret": 1.5}, "regret is 1.5; allowed: a share between 0 and 1"),
        ({"goal": "map", "regret": 0.1}, "a goal other than map"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Search(SCENARIO, **options)


def test_an_unknown_goal_is_named() -> None:
    with pytest.raises(UnknownNameError, match="worst-load"):
        Search(SCENARIO, "worst")

"""A careful search comes from the gentle side, and stays within its limits as far as it can know."""

from __future__ import annotations

import numpy as np
import pytest
from arithmetic import SCENARIO, respond

from meshgym.adaptive.caution import Caution
from meshgym.adaptive.plan import AdaptivePlan
from meshgym.adaptive.search import GOALS, Search
from meshgym.errors import InvalidValueError
from meshgym.scenarios import parse_scenario
from meshgym.types import Response


def batches(goal: str, caution: Caution | None, runs: int = 90):
    """Run a search; return each batch's settings and response."""
    search, generator, found = Search(SCENARIO, goal, runs, caution=caution), np.random.default_rng(0), []
    while len((batch := search.ask()).settings):
        response = respond(batch.settings, generator)
        search.tell(batch.settings, response)
        found.append((batch.settings, response))
    return found


@pytest.mark.parametrize("goal", GOALS)
def test_few_runs_exceed_the_limit(goal: str) -> None:
    def share(caution: Caution | None) -> float:
        p503 = np.concatenate([response.p503 for _, response in batches(goal, caution)])
        return float((p503 > 0.3).mean())

    assert share(Caution(most_503=0.3)) < 0.12 < 0.3 < share(None)


def test_rates_are_limited_too() -> None:
    qps = np.concatenate([response.qps for _, response in batches("map", Caution(most_rate=150))])
    assert (qps > 150).mean() < 0.15
    assert (qps > 100).any()


def test_an_open_loop_is_never_faster_than_allowed() -> None:
    text = """
    [rules]
    max_connections = [1, 8]
    [load]
    rate_per_s = [100, 800, 100]
    calls = [50, 150, 50]
    [actions]
    rate_per_s = [100, 200, 300, 400, 500, 600, 700, 800]
    calls = [50, 100, 150]
    """
    scenario = parse_scenario("open", text)
    search, sent = Search(scenario, runs=60, caution=Caution(most_rate=450)), []
    while len((batch := search.ask()).settings):
        sent += batch.settings[:, 1].tolist()
        search.tell(batch.settings, Response(batch.settings[:, 1] / 4, np.full(len(batch.settings), 1.0), 0.0))
    assert max(sent) == 400
    with pytest.raises(InvalidValueError, match="and the limits"):
        Search(scenario, caution=Caution(most_rate=50))


def test_it_begins_with_gentle_loads_and_each_batch_goes_from_gentle_to_harsh() -> None:
    found = batches("worst-load", Caution(most_503=0.5))
    threads = SCENARIO.setting_names.index("threads")
    for settings, _ in found[:2]:
        assert len(settings) == 10
        assert settings[:, threads].max() <= 5
        assert (np.diff(settings[:, threads]) >= 0).all()
    assert found[-1][0][:, threads].max() > 10
    later = [np.polyfit(range(len(response.p503)), response.p503, 1)[0] for _, response in found[2:]]
    assert np.mean(later) > 0


def test_where_nothing_is_allowed_it_ends() -> None:
    assert 20 <= sum(len(settings) for settings, _ in batches("worst-load", Caution(most_rate=1e-3))) < 90


def test_caution_is_part_of_a_collection() -> None:
    plans = [AdaptivePlan(SCENARIO, caution=caution).about() for caution in (None, Caution(most_503=0.5))]
    assert plans[1] == {**plans[0], "most_503": 0.5}


@pytest.mark.parametrize("limits", [{"most_503": 0}, {"most_503": 1.1}, {"most_503": float("nan")}, {"most_rate": 0}])
def test_limits_that_are_none(limits: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(limits))):
        Caution(**limits)

"""What a plan costs, and from when it pays off."""

from __future__ import annotations

import pytest
from arithmetic import SCENARIO

from meshgym.adaptive.worth import DIRECT, cost
from meshgym.errors import InvalidValueError, SimulatorError
from meshgym.scenarios import load_scenario, parse_scenario
from meshgym.simulator import load_simulator
from meshgym.traces.store import load_traces


def test_calls_are_those_of_the_ranges() -> None:
    found = cost(SCENARIO, 100)
    assert found.calls == pytest.approx(100 * 400, rel=0.01)
    assert found.seconds is None  # no service, no simulator
    assert found.sets == (5, 10) == (100 // DIRECT[1], 100 // DIRECT[0])


def test_a_simulator_knows_how_long_runs_take() -> None:
    traces = load_traces("S3")
    found = cost(load_scenario("S3"), 1000, load_simulator("S3"), overhead_s=0.5)
    assert found.seconds == pytest.approx(1000 * ((traces["calls"] / traces["qps"]).mean() + 0.5), rel=0.15)


def test_without_one_the_service_profile_does() -> None:
    scenario = load_scenario("S3")
    guessed, known = cost(scenario, 100).seconds, cost(scenario, 100, load_simulator("S3")).seconds
    assert 0.3 < guessed / known < 3


def test_an_open_loop_takes_as_long_as_it_takes() -> None:
    text = """
    [rules]
    max_connections = [1, 8]
    [load]
    rate_per_s = [100, 100]
    calls = [50, 150, 50]
    [actions]
    rate_per_s = [100]
    calls = [50, 150]
    """
    found = cost(parse_scenario("open", text), 60, overhead_s=1)
    assert found.seconds == pytest.approx(60 * 2, rel=0.01)


def test_a_simulator_of_other_fields_is_refused() -> None:
    with pytest.raises(SimulatorError, match="arithmetic varies"):
        cost(SCENARIO, 100, load_simulator("S3"))


@pytest.mark.parametrize(("runs", "overhead"), [(0, 0.0), (10, -1.0)])
def test_impossible_numbers(runs: int, overhead: float) -> None:
    with pytest.raises(InvalidValueError):
        cost(SCENARIO, runs, None, overhead)

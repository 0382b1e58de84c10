"""Open loops: when calls are due is fixed beforehand, and latency counts from then."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mesh.load.test_client import OK, run, server

from meshgym.errors import DisturbedError, InvalidValueError, UnknownNameError
from meshgym.mesh.load.flow import arrivals
from meshgym.mesh.load.latency import check_punctual, lateness
from meshgym.types import Load


@given(st.floats(0.5, 5000), st.floats(0.5, 20), st.sampled_from(["constant", "poisson"]), st.integers(0, 2**32 - 1))
def test_arrivals_fill_the_duration(rate, duration, kind, seed):
    assume(rate * duration > 1)
    load = Load(rate_per_s=rate, duration_s=duration, arrivals=kind, seed=seed)
    due = arrivals(load)
    assert len(due) == load.calls == round(rate * duration)
    assert np.all(np.diff(due) >= 0)
    assert due[0] >= 0
    assert due[-1] <= duration + 1 / rate
    assert np.array_equal(due, arrivals(load))


def test_arrivals_of_a_poisson_process_have_exponential_gaps_and_differ_by_seed():
    load = Load(rate_per_s=1000, duration_s=50, arrivals="poisson")
    gaps = np.diff(arrivals(load))
    assert gaps.mean() == pytest.approx(0.001, rel=0.02)
    assert gaps.std() == pytest.approx(0.001, rel=0.03)  # an exponential's is its mean
    assert not np.array_equal(arrivals(load), arrivals(Load(0, 0, 1000, 50, "poisson", 1)))


def test_a_service_that_stalls_cannot_hide_the_calls_that_had_to_wait():
    """The fifth call stalls everything for half a second; calls due meanwhile have waited that long."""

    def stalling(connection, request):
        if connection == 0 and request == 4:
            time.sleep(0.5)
        return OK

    with server(stalling) as (address, _):
        closed = run(address, Load(1, 60))
    assert sum(latency > 0.1 for latency in closed.latencies_s) == 1  # a closed loop just goes slower

    blocked = {"until": 0.0}

    def all_stall(connection, request):
        if connection == 0 and request == 4:
            blocked["until"] = time.perf_counter() + 0.5
        time.sleep(max(0.0, blocked["until"] - time.perf_counter()))
        return OK

    with server(all_stall) as (address, _):
        opened = run(address, Load(rate_per_s=100, duration_s=1))
    assert opened.ok == 100
    assert sum(latency > 0.1 for latency in opened.latencies_s) >= 35
    assert len(opened.late_s) == 100
    assert 0.99 <= opened.duration_s < 5


def test_connections_are_made_as_they_are_needed_and_used_again():
    with server(lambda connection, request: OK) as (address, seen):
        run(address, Load(rate_per_s=100, duration_s=0.5))
    assert sum(seen.values()) == 50
    assert len(seen) < 25


def test_an_idle_connection_that_the_other_side_closes_is_no_call():
    def closing(connection, request):
        yield OK
        raise ConnectionError  # hangs up after each response

    with server(closing) as (address, seen):
        result = run(address, Load(rate_per_s=5, duration_s=1))
    assert (result.ok, result.broken) == (5, 0)
    assert len(seen) == 5


def test_calls_that_cannot_be_sent_in_time_make_a_run_unsound():
    load = Load(rate_per_s=1000, duration_s=1)
    check_punctual([], load)
    check_punctual([0.0001] * 990 + [0.1] * 10, load)
    with pytest.raises(DisturbedError, match=r"11 of 1000 calls were sent more than 5 ms .* can't send 1000 calls"):
        check_punctual([0.0001] * 989 + [0.1] * 11, load)
    assert lateness([0.001] * 100) == {"late_p99_s": 0.001}
    assert lateness([]) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate_per_s": 100}, "duration_s is 0.0; allowed: a number above 0"),
        ({"rate_per_s": 100, "duration_s": 0}, "duration_s is 0; allowed: a number above 0"),
        ({"rate_per_s": -1, "duration_s": 5}, "rate_per_s is -1"),
        ({"rate_per_s": float("nan"), "duration_s": 5}, "rate_per_s is nan"),
        ({"rate_per_s": float("inf"), "duration_s": 5}, "rate_per_s is inf"),
        ({"rate_per_s": True, "duration_s": 5}, "rate_per_s is True"),
        ({"rate_per_s": 1e6, "duration_s": 1e6}, "rate_per_s \\* duration_s is 1000000000000"),
        ({"rate_per_s": 0.1, "duration_s": 1}, "rate_per_s \\* duration_s is 0"),
        ({"rate_per_s": 10, "duration_s": 1, "threads": 2}, "threads and calls is .*; allowed: none in an open loop"),
        ({}, "threads is 0"),
    ],
)
def test_loads_that_cannot_be(given, message):
    with pytest.raises(InvalidValueError, match=message):
        Load(**given)


def test_unknown_arrivals():
    with pytest.raises(UnknownNameError, match="Did you mean 'poisson'"):
        Load(rate_per_s=10, duration_s=1, arrivals="poison")

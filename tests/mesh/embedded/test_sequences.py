"""Sequences on the real Envoy: what an interval leaves behind, the next one meets."""

from __future__ import annotations

import numpy as np
import pytest
from meshes import kept

from meshgym.errors import InvalidValueError
from meshgym.mesh.embedded.sequences import EmbeddedSequences
from meshgym.scenarios import load_scenario, parse_scenario

#: Two replicas, of which one fails from the start; ejections last longer than the test.
WARD = """
[rules]
base_ejection_time_s = 60
max_ejection_percent = [50, 100, 50]
interval_s = 0.1
consecutive_5xx_errors = [1, 3]
[load]
rate_per_s = [20, 60, 20]
calls = [4, 18]
[actions]
rate_per_s = [20, 60]
calls = [4, 18]
[control]
interval_s = 0.3
intervals = 6
[service]
replicas = 2
service_time_ms = 1
burst = 100
rate_per_s = 100
mtls = false
[[service.faults]]
kind = "status"
status = 503
"""
RULES = {"eject": [60, 50, 0.1, 1], "other": [60, 50, 0.1, 2]}


@pytest.fixture(scope="module")
def ward():
    return parse_scenario("ward", WARD)


def rows(*names, rate=60.0):
    return np.array([[*RULES[name], rate, rate * 0.3] for name in names])


def test_ejections_and_connections_stay_until_the_rules_change(ward):
    with EmbeddedSequences(ward, copies=2) as sequences:

        def measured():
            sequences.begin()
            told = [sequences.measure(rows("eject", "eject")) for _ in range(3)]
            told.append(sequences.measure(rows("eject", "other")))
            return told

        first, second, third, fourth = kept(measured)
        assert first.details["ejected"].tolist() == [1, 1]
        assert (first.p503 > 0).all()
        for later in (second, third):
            assert later.details["ejected"].tolist() == [1, 1]
            assert later.p503.tolist() == [0, 0]
            assert (later.details["connected"] >= 1).all()
        assert fourth.p503[0] == 0
        assert fourth.details["p_upstream_error"][1] > 0  # the changed rules let the failing replica in again
        kept(sequences.begin)
        assert kept(lambda: (sequences.begin(), sequences.measure(rows("eject", "eject")))[1]).p503.min() > 0


def test_afresh_each_interval_meets_the_failing_replica(ward):
    with EmbeddedSequences(ward, fresh=True) as sequences:
        sequences.begin()
        for _ in range(3):
            told = kept(lambda: sequences.measure(rows("eject")))
            assert told.p503[0] > 0  # nothing is ejected when an interval begins
            assert told.details["ejected"][0] == 1


def test_an_interval_lasts_as_long_as_the_scenario_says(ward):
    import time

    with EmbeddedSequences(ward) as sequences:

        def measured():
            sequences.begin()
            started = time.monotonic()
            for _ in range(4):
                sequences.measure(rows("eject", rate=20.0))
            return time.monotonic() - started

        assert kept(measured) >= 3 * 0.3  # the last one ends with its last call


def test_capacity_that_is_used_up_stays_used_up():
    thin = WARD.replace("burst = 100", "burst = 18").replace("rate_per_s = 100", "rate_per_s = 1")
    thin = thin.replace('[[service.faults]]\nkind = "status"\nstatus = 503\n', "")
    with EmbeddedSequences(parse_scenario("thin", thin)) as sequences:

        def measured():
            sequences.begin()
            return [sequences.measure(rows("other"))[1] for _ in range(3)]

        first, second, third = kept(measured)
        assert first == 1  # 18 calls, and each of two replicas has room for them
        assert third < 0.5
        assert first + second + third < 2.3  # 54 calls, and room for 36 and the 2 or 3 that come by


def test_a_scenario_without_intervals_is_refused(ward):
    with pytest.raises(InvalidValueError, match=r"scenario S1 .*\[control\]"):
        EmbeddedSequences("S1")
    with pytest.raises(InvalidValueError, match="lanes is 65"):
        EmbeddedSequences(ward, copies=65)
    assert load_scenario("C1").control.intervals == 20


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("interval_s = 0.3", "interval_s = 0.01", "control.interval_s is 0.01"),
        ("intervals = 6", "intervals = 1", "control.intervals is 1"),
        ("intervals = 6", "length = 6", r"section \[control\]"),
        ("rate_per_s = [20, 60, 20]\ncalls", "threads = [1, 2]\ncalls", r"\[control\]"),
    ],
)
def test_a_broken_section_is_refused(old, new, said):
    text = WARD.replace(old, new)
    if "threads" in new:
        text = text.replace("rate_per_s = [20, 60]\n", "threads = [1, 2]\n")
    with pytest.raises(InvalidValueError, match=said):
        parse_scenario("ward", text)

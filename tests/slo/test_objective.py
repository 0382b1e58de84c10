"""Objectives are read as people and k6 write them, and say by how much a run keeps them."""

import math

import pytest

from meshgym.errors import InvalidValueError
from meshgym.slo.objective import least_calls, margin, read_objective, read_slo
from meshgym.types import Response

RUN = Response(150.0, 0.995, 0.005, details={"latency_p50_s": 0.01, "latency_p99_s": 0.15})


@pytest.mark.parametrize(
    ("text", "outcome", "below", "bound"),
    [
        ("p99<200ms", "latency_p99_s", True, 0.2),
        ("p90 <= 0.5s", "latency_p90_s", True, 0.5),
        ("med<1500us", "latency_p50_s", True, 0.0015),
        ("success>99.9%", "p200", False, 0.999),
        ("success >= 0.999", "p200", False, 0.999),
        ("errors<0.1%", "p200", False, 0.999),
        ("p503<1%", "p503", True, 0.01),
        ("throughput>300/s", "qps", False, 300.0),
        ("http_req_duration: p(99)<200", "latency_p99_s", True, 0.2),
        ("http_req_duration: med<20", "latency_p50_s", True, 0.02),
        ("http_req_failed: rate<0.01", "p200", False, 0.99),
        ("http_reqs: rate>100", "qps", False, 100.0),
    ],
)
def test_objectives_are_read(text, outcome, below, bound):
    found = read_objective(text)
    assert (found.outcome, found.below) == (outcome, below)
    assert found.bound == pytest.approx(bound)


@pytest.mark.parametrize(
    "text",
    [
        *("", "fast", "p99", "p95<200ms", "p99<200", "p99<-1ms", "p99<200ms p90<1s", "success>99.9ms", "p99<200/s"),
        *("success>100%", "success<0%", "errors<0%", "success>150%", "p503<0%", "http_req_duration: p(95)<500"),
    ],
)
def test_what_cannot_be_read_or_kept_or_missed(text):
    with pytest.raises(InvalidValueError, match="objective is"):
        read_objective(text)


def test_objectives_that_contradict_each_other():
    assert len(read_slo(["p99<200ms", "p99>100ms", "success>99%"])) == 3
    with pytest.raises(InvalidValueError, match="don't contradict"):
        read_slo(["p99<100ms", "p99>200ms"])
    with pytest.raises(InvalidValueError, match="--slo"):
        read_slo([])


def test_margins_are_shares_of_the_bound_or_of_what_may_be_lost():
    by_text = {
        text: read_objective(text).margin(RUN)
        for text in ("p99<200ms", "p99<100ms", "success>99%", "success>99.9%", "p503<1%", "throughput>100/s")
    }
    assert by_text == pytest.approx(
        {
            "p99<200ms": 0.25,
            "p99<100ms": -0.5,
            "success>99%": 0.5,
            "success>99.9%": -4.0,
            "p503<1%": 0.5,
            "throughput>100/s": 0.5,
        }
    )
    assert margin(read_slo(["p99<200ms", "success>99.9%"]), RUN) == pytest.approx(-4.0)
    assert read_objective("p90<1s").margin(RUN) == -math.inf  # the run doesn't tell


def test_a_run_needs_calls_enough_for_its_percentiles():
    assert least_calls(read_slo(["success>99%"])) == 2
    assert least_calls(read_slo(["p90<1s", "p99<1s"])) == 200

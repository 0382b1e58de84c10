"""Replicas that fail in different ways, and what a route's retries and timeouts make of it; on the real Envoy."""

from dataclasses import replace

import numpy as np
import pytest
from mesh.services import PLENTY

from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.service.profile import Fault
from meshgym.types import Load, TrafficRules

pytestmark = pytest.mark.envoy
ROOM = TrafficRules(max_connections=1000)
#: An open loop spreads its calls over the replicas whatever they do.
LOAD = Load(rate_per_s=400, duration_s=0.5)
BASE = replace(PLENTY, replicas=4, client_timeout_ms=300)


@pytest.fixture
def measure():
    """Measure with a fault, under rules of a route."""

    def run(fault, load=LOAD, **route):
        with EmbeddedMesh(profile=replace(BASE, faults=(fault,))) as mesh:
            return mesh.measure(ROOM.replace(**route), load)

    return run


@pytest.mark.parametrize("status", [500, 502, 504])
def test_errors_of_a_replica_are_sent_again_if_the_route_says_so(measure, status):
    fault = Fault(kind="status", status=status)
    plain = measure(fault, load_balancer="ROUND_ROBIN")
    assert plain.p200 == pytest.approx(0.75, abs=0.02)
    assert plain.p503 == 0
    again = measure(fault, load_balancer="ROUND_ROBIN", retry_attempts=3, retry_on="5xx")
    assert again.p200 == 1
    storm = measure(replace(fault, replicas=4), retry_attempts=3, retry_on="5xx")
    assert storm.p200 == 0


def test_a_dead_replica_refuses_connections_and_istio_tries_another(measure):
    dead = Fault(kind="dead")
    assert measure(dead, load_balancer="ROUND_ROBIN").p200 == 1
    refused = measure(dead, load_balancer="ROUND_ROBIN", retry_attempts=0)
    assert refused.p503 == pytest.approx(0.25, abs=0.05)
    assert refused.details["reset"] == pytest.approx(0.25 * LOAD.calls, abs=10)


def test_a_hanging_replica_costs_a_timeout(measure):
    """Of the client, of the route, or of an attempt; the last is sent again, the next replica responds."""
    hanging, fair = Fault(kind="hanging"), {"load_balancer": "ROUND_ROBIN"}
    for route in ({}, {"route_timeout_s": 0.1}):
        lost = measure(hanging, **fair, **route)
        assert lost.p200 == pytest.approx(0.75, abs=0.02)
        assert lost.details["timeout"] == LOAD.calls - lost.details["ok"]
    tried = measure(hanging, **fair, retry_per_try_timeout_s=0.1, retry_on="5xx")
    assert tried.p200 == 1
    assert tried.details["latency_p99_s"] > 0.1


def test_a_slow_replica_is_slow_by_a_log_normal_time(measure):
    slow = measure(Fault(kind="slow", replicas=4, median_ms=40, sigma=0.5), Load(rate_per_s=400, duration_s=1))
    p50, p90 = (slow.details[f"latency_p{rank}_s"] for rank in (50, 90))
    assert slow.p200 == pytest.approx(1, abs=0.01)
    assert p50 == pytest.approx(0.041, rel=0.3)
    assert p90 / p50 == pytest.approx(np.exp(1.2816 * 0.5), rel=0.3)


def test_a_fault_may_begin_later_and_pass(measure):
    passing = Fault(kind="status", status=500, replicas=4, after_s=0.1, for_s=0.2)
    found = measure(passing, Load(rate_per_s=400, duration_s=0.5))
    assert found.p200 == pytest.approx(0.6, abs=0.06)


def test_a_share_of_the_requests_may_meet_the_fault(measure):
    flaky = Fault(kind="status", status=503, replicas=4, share=0.3)
    found = measure(flaky, Load(rate_per_s=800, duration_s=1))
    assert found.p503 == pytest.approx(0.3, abs=0.07)


def test_an_ejected_replica_does_no_more_harm(measure):
    """Gateway errors eject by a rule of their own."""
    ejecting = {
        "consecutive_gateway_errors": 3,
        "interval_s": 0.1,
        "base_ejection_time_s": 30,
        "max_ejection_percent": 50,
    }
    found = measure(Fault(kind="status", status=502), Load(rate_per_s=400, duration_s=1), **ejecting)
    assert found.details["ejections"] == 1
    assert found.p200 > 0.97

"""Several lanes of one embedded mesh, with the real Envoy."""

import os
import signal
from dataclasses import replace

import pytest
from mesh.services import PLENTY, WIDE, counts, envoys_in

from meshgym.errors import InvalidValueError, MeshStartError, RulesRefusedError
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.rules.policy import traffic_policy
from meshgym.traces.lanes import SharedLanes
from meshgym.types import Load, Setting

pytestmark = pytest.mark.envoy

SCARCE = replace(PLENTY, service_time_ms=5, burst=20, rate_per_s=1)  # two replicas


def finish(mesh, lanes):
    ended = {}
    while len(ended) < lanes:
        ended |= dict(mesh.completed())
    return ended


def test_each_lane_has_its_own_rules_ejections_and_tokens():
    ejecting = WIDE.replace(consecutive_5xx_errors=1)
    rules = {0: WIDE, 1: ejecting, 2: ejecting.replace(max_ejection_percent=50), 3: WIDE}
    with EmbeddedMesh(profile=SCARCE, lanes=4) as mesh:
        for _ in range(2):  # the second time finds no ejection and no empty bucket of the first
            for lane, one in rules.items():
                calls = 600 if lane == 1 else 100  # a second ejection acts up to a second after the first
                mesh.begin(lane, traffic_policy(one), Load(2, calls))
            ended = finish(mesh, 4)
            assert [ended[lane].details["ejections"] for lane in range(4)] == [0, 2, 1, 0]
            for lane in (0, 3):
                assert ended[lane].details["ok"] == pytest.approx(40, abs=3)  # two buckets of 20
                assert counts(ended[lane]).keys() == {"ok", "upstream_error"}
            assert ended[1].details["no_healthy_host"] > 0
            assert ended[2].details["no_healthy_host"] == 0


def test_a_lane_goes_on_while_others_end():
    with EmbeddedMesh(profile=PLENTY, lanes=2) as mesh:
        mesh.begin(0, traffic_policy(WIDE), Load(1, 400))
        short = 0
        while True:
            mesh.begin(1, traffic_policy(WIDE), Load(1, 20))
            while not (ended := dict(mesh.completed())):
                pass
            if 0 in ended:
                break
            assert ended[1].p200 == 1
            short += 1
        assert short > 3
        assert ended[0].details["ok"] == 400
        assert ended[0].details["duration_s"] < 400 * 0.02


def test_refused_rules_end_their_lane_alone():
    refused = traffic_policy(WIDE)
    refused["outlierDetection"]["maxEjectionPercent"] = 101
    with EmbeddedMesh(profile=PLENTY, lanes=2) as mesh:
        mesh.begin(0, traffic_policy(WIDE), Load(1, 100))
        mesh.begin(1, refused, Load(1, 100))
        ended = finish(mesh, 2)
        assert ended[0].details["ok"] == 100
        assert isinstance(ended[1], RulesRefusedError)
        mesh.begin(1, traffic_policy(WIDE), Load(1, 10))
        assert finish(mesh, 1)[1].p200 == 1


@pytest.mark.parametrize("victim", ["sidecar", "service"])
def test_a_mesh_that_breaks_is_replaced_and_its_runs_come_back(victim):
    setting = Setting(WIDE, Load(2, 400))
    with SharedLanes(lambda: EmbeddedMesh(profile=SCARCE, lanes=3)) as lanes:
        for run in range(3):
            lanes.submit(run, setting)
        assert lanes.free == 0
        os.kill(envoys_in(lanes._mesh._envoys.folder)[victim], signal.SIGKILL)
        outcomes = list(lanes.completed())
        assert {(outcome.run, outcome.lane) for outcome in outcomes} == {(0, 0), (1, 1), (2, 2)}
        for outcome in outcomes:
            assert isinstance(outcome.result, MeshStartError)
            assert f"{victim}'s Envoy ended with status -9" in str(outcome.result)
        assert lanes.free == 3
        lanes.submit(7, replace(setting, load=Load(2, 50)))
        (again,) = lanes.completed()
        assert (again.run, again.result.details["ok"]) == (7, pytest.approx(40, abs=3))


@pytest.mark.parametrize("lanes", [0, 65])
def test_lanes_are_bounded(lanes):
    with pytest.raises(InvalidValueError, match="lanes"):
        EmbeddedMesh(profile=PLENTY, lanes=lanes)

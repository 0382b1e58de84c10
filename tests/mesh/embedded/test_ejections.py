"""When an ejection acts: a run may send as soon as Envoy has its cluster."""

import json
from dataclasses import replace

import pytest
from mesh.services import PLENTY, WIDE

from meshgym.mesh.embedded import clusters
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.service.profile import Fault
from meshgym.types import Load

pytestmark = pytest.mark.envoy

EJECTING = WIDE.replace(consecutive_5xx_errors=1, max_ejection_percent=100, base_ejection_time_s=60)


def failing(replicas):
    """A service whose replicas all fail, 5 ms a call."""
    faults = (Fault(kind="status", status=503, replicas=replicas),)
    return replace(PLENTY, replicas=replicas, network_delay_ms=5, faults=faults)


@pytest.fixture(params=["STATIC", "EDS"])
def discovery(request, tmp_path, monkeypatch):
    """How the sidecar learns of the replicas: with the cluster, or apart from it, as from istiod."""
    if request.param == "STATIC":
        return
    file, whole = tmp_path / "eds.json", clusters.service_cluster
    kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"

    def apart(*arguments):
        cluster = whole(*arguments)
        replicas = {"@type": kind, **cluster.pop("load_assignment")}
        file.write_text(json.dumps({"resources": [replicas]}))
        source = {"path_config_source": {"path": str(file)}, "resource_api_version": "V3"}
        return {**cluster, "type": "EDS", "eds_cluster_config": {"eds_config": source}}

    monkeypatch.setattr(clusters, "service_cluster", apart)


@pytest.mark.usefixtures("discovery")
def test_the_first_ejection_acts_at_once_also_right_after_another_run():
    with EmbeddedMesh(profile=failing(1)) as mesh:
        for _ in range(3):
            details = mesh.measure(EJECTING, Load(1, 20)).details
            assert (details["upstream_error"], details["no_healthy_host"]) == (1, 19)


@pytest.mark.usefixtures("discovery")
def test_one_that_follows_within_a_second_waits_for_its_end_as_in_a_mesh():
    with EmbeddedMesh(profile=failing(2)) as mesh:
        details = mesh.measure(EJECTING, Load(1, 300)).details
    assert details["ejections"] == 2
    assert 50 < details["upstream_error"] < 250  # some 5.5 ms each
    assert details["upstream_error"] + details["no_healthy_host"] == 300

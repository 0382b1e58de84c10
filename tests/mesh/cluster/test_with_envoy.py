"""The cluster's mesh with a real Envoy behind the stand-ins: its configuration dump, its overflows."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from mesh.cluster.standins.world import World
from mesh.services import PLENTY, WIDE

from meshgym.errors import RulesRefusedError
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.types import Load

pytestmark = pytest.mark.envoy


class EnvoyWorld(World):
    """The sidecar is a real one; what is said of the host is said of its service."""

    def __init__(self, folder):
        self._thread = ThreadPoolExecutor(1)  # a mesh belongs to the thread that made it
        self.mesh = self._thread.submit(EmbeddedMesh, profile=PLENTY).result()
        super().__init__(folder, {"host": "service"})

    def _changed(self):
        super()._changed()
        if self.rule:
            self.mesh._clusters.put(self.rule["spec"].get("trafficPolicy", {}))

    def clusters(self):
        dump = json.loads(self.mesh._sidecar.get("/config_dump", resource="dynamic_active_clusters"))
        # The embedded mesh notes its runs in the metadata, and istiod doesn't.
        return [{**one["cluster"], "metadata": {}} for one in dump["configs"]]

    def _serve(self, load):
        return self._thread.submit(self.mesh.measure_policy, self.rule["spec"]["trafficPolicy"], load).result()

    def close(self):
        super().close()
        self.mesh.close()
        self._thread.shutdown()


@pytest.fixture
def world(tmp_path, monkeypatch, impatient):
    world = EnvoyWorld(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(world.kubeconfig))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield world
    world.close()


def test_a_real_envoy_is_seen_to_hold_the_rules_and_acts_on_them(world):
    narrow = WIDE.replace(max_connections=1, http1_max_pending_requests=1)
    with IstioMesh(**world.arguments(max_p503=1)) as mesh:
        assert mesh.measure(WIDE, Load(8, 400)).p503 == 0
        assert mesh.measure(narrow, Load(8, 400)).p503 > 0
        assert mesh.measure(narrow, Load(1, 100)).p503 == 0
    assert world.restored


def test_what_a_real_envoy_does_not_hold_is_noticed(world, monkeypatch):
    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(WIDE, Load(2, 40))
        monkeypatch.setattr(world.mesh._clusters, "put", lambda policy: None)  # istiod is asleep
        with pytest.raises(RulesRefusedError, match="max_connections is 1000, not 3"):
            mesh.measure(WIDE.replace(max_connections=3), Load(2, 40))


def test_a_real_envoy_shows_only_the_clusters_that_are_asked_for(world):
    admin = world.mesh._sidecar
    for pattern, count in {r"outbound\|.*\|service(\..*)?": 1, r"outbound\|.*\|serv(\..*)?": 0}.items():
        dump = admin.get("/config_dump", resource="dynamic_active_clusters", name_regex=pattern)
        assert len(json.loads(dump).get("configs", [])) == count

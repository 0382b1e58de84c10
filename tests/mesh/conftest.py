"""A cluster of stand-ins for the tests of the mesh."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
from mesh.cluster.standins import managed
from mesh.cluster.standins.world import RULE, World


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter waits: what is waited for is on this machine."""
    from meshgym.mesh.cluster import api as cluster
    from meshgym.mesh.cluster import mesh as istio
    from meshgym.mesh.cluster import sidecar, waiting
    from meshgym.mesh.load import fortio

    monkeypatch.setattr(cluster, "_RETRY", cluster._RETRY.new(backoff_factor=0))
    for options in (cluster._READING, cluster._CHANGING):
        monkeypatch.setitem(options, "_request_timeout", (1.0, 0.3))
    monkeypatch.setattr(fortio, "_RUN_S", 1.0)
    monkeypatch.setattr(waiting, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(waiting, "_LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(istio, "_QUIET_S", 0.0)
    monkeypatch.setattr(sidecar, "_APPLY_S", 1.0)
    monkeypatch.setattr(sidecar, "_POLL_S", 0.01)


@pytest.fixture
def make_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None) -> Iterator[type[World]]:
    """Makes the world that the kubeconfig leads to."""
    worlds = []

    def make(*arguments: object) -> World:
        world = World(tmp_path, *arguments)
        worlds.append(world)
        monkeypatch.setenv("KUBECONFIG", str(world.kubeconfig))
        return world

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: type[World]) -> World:
    return make_world()


@pytest.fixture
def owned(make_world: type[World]) -> World:
    """A rule as Argo CD and kubectl have applied it, each with fields of its own."""
    world = make_world(None)
    ours = {key: value for key, value in RULE.items() if key != "subsets"}
    world.api.apply("argocd", ours, labels={"team": "shop"})
    found = deepcopy(world.rule)
    last = "kubectl.kubernetes.io/last-applied-configuration"
    found["metadata"]["annotations"] = {last: json.dumps({"spec": RULE}), "note": "keep"}
    found["spec"]["subsets"] = RULE["subsets"]
    found["metadata"]["managedFields"] = managed.update(world.rule, found, "kubectl-client-side-apply")
    world.api._store(found)
    world.found = deepcopy(world.rule)
    return world

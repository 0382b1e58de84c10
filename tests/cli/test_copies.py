"""A collection in copies of a service, side by side: each has its own loan, and gives it back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from collected import rows_of
from mesh.cluster.standins.server import Standin
from mesh.cluster.standins.world import RULE, World

from meshgym.cli.main import main
from meshgym.traces.collection import read_collection
from meshgym.traces.store import load_traces

pytestmark = pytest.mark.slow
NAMESPACES = ("default", "second", "third")


class Gateway(Standin):
    """Leads to the Fortio of each namespace."""

    def __init__(self, worlds):
        self.worlds = worlds
        super().__init__()

    def answer(self, method, path, query, body, headers):
        _, namespace, rest = path.split("/", 2)
        return self.worlds[namespace].fortio.answer(method, f"/{rest}", query, body, headers)


@pytest.fixture
def worlds(world, tmp_path):
    others = {name: World(tmp_path, namespace=name, api=world.api) for name in NAMESPACES[1:]}
    worlds = {world.namespace: world, **others}
    world.api.admins = {name: one.admin.url for name, one in worlds.items()}
    yield worlds
    for one in others.values():
        one.admin.close()
        one.fortio.close()


@pytest.fixture
def command(worlds, tmp_path, shop_text):
    (tmp_path / "shop.toml").write_text(shop_text)
    gateway = Gateway(worlds)
    options = {
        "destination-rule": "{namespace}/httpbin",
        "fortio": f"{gateway.url}/{{namespace}}/fortio/",
        "target": "http://httpbin.{namespace}:8000/get",
        "sidecar": "{namespace}/fortio",
        "scenario": tmp_path / "shop.toml",
        "out": tmp_path / "rows",
    }
    accepted = ["--accept", "http2_max_requests", "load_balancer"]
    yield ["collect", *(f"--{name}={value}" for name, value in options.items()), *accepted, "--copies", *NAMESPACES]
    gateway.close()


def test_they_share_the_rows(worlds, command, tmp_path):
    assert main([*command, "--rows", "12"]) == 0
    about, _ = read_collection(tmp_path / "rows" / "collection.db")
    assert about["service"]["copies"] == list(NAMESPACES)
    frame = load_traces(tmp_path / "rows" / "collection.db")
    assert len(frame) == 12
    assert set(frame["lane"]) == {0, 1, 2}
    assert all(world.sent for world in worlds.values())
    assert all(world.restored for world in worlds.values())


def test_they_give_back_what_they_borrowed_when_stopped(worlds, command, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "meshgym", *command, "--rows", "2000"], stderr=subprocess.PIPE
    ) as process:
        while not (all(world.sent for world in worlds.values()) and rows_of(tmp_path / "rows")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 128 + signal.SIGTERM
    assert all(world.restored for world in worlds.values())


def test_copies_that_are_not_alike_are_refused(worlds, command, capsys):
    other = {**RULE["trafficPolicy"], "loadBalancer": {"simple": "ROUND_ROBIN"}}
    worlds["third"].api.put("third", "httpbin", {**RULE, "trafficPolicy": other})
    assert main([*command, "--rows", "12"]) == 2
    assert "in_force in namespace third" in capsys.readouterr().err
    assert not any(world.sent for world in worlds.values())


def test_only_collections_take_copies(worlds, command, capsys):
    assert main(["doctor", *(one for one in command[1:] if "--scenario" not in one and "--out" not in one)]) == 2
    assert "allowed: only for meshgym collect" in capsys.readouterr().err

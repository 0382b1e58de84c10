"""Fortio as the load generator of the embedded mesh: a stand-in that really calls, and a real one if there is one."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from mesh.cluster.standins.fortio import Fortio
from mesh.services import PLENTY, WIDE

from meshgym.cli.main import main
from meshgym.errors import AwayError, DisturbedError, InvalidValueError
from meshgym.mesh.embedded.bootstrap import RUN_HEADER
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.mesh.load.client import LoadClient
from meshgym.testing import check_mesh
from meshgym.traces.collection import read_collection
from meshgym.types import Load, Response

pytestmark = pytest.mark.envoy
NARROW = WIDE.replace(max_connections=1, http1_max_pending_requests=1)


class Caller:
    """Sends what the stand-in is asked for, with its headers."""

    def __init__(self) -> None:
        self.fortio = Fortio(self.serve)
        self.extra = 0

    def serve(self, load: Load) -> Response:
        host, port = self.fortio.asked[-1][2]["url"].removeprefix("http://").rstrip("/").split(":")
        headers = dict(line.split(": ", 1) for line in self.fortio.headers)
        with closing(LoadClient((host, int(port)))) as client:
            result = client.run(load, headers)
            if self.extra:
                client.run(Load(1, self.extra), headers)
        return Response(load.calls / result.duration_s, result.ok / load.calls, len(result.heads) / load.calls)


@pytest.fixture
def caller():
    caller = Caller()
    yield caller
    caller.fortio.close()


def test_the_mesh_keeps_its_contract(caller, shop):
    check_mesh(lambda: EmbeddedMesh(shop, fortio=caller.fortio.url), shop)


def test_each_run_has_its_rules_and_its_number(caller):
    with EmbeddedMesh(profile=PLENTY, fortio=caller.fortio.url) as mesh:
        assert mesh.measure(WIDE, Load(8, 200)).p503 == 0
        first = caller.fortio.headers
        narrow = mesh.measure(NARROW, Load(8, 200))
    assert narrow.p503 > 0
    assert narrow.details["ejections"] == 0
    assert "overflow" not in narrow.details  # Fortio doesn't know
    assert any(line.startswith(f"{RUN_HEADER}: ") for line in first)
    assert first != caller.fortio.headers


def test_somebody_else_on_the_mesh_is_noticed(caller):
    with EmbeddedMesh(profile=PLENTY, fortio=caller.fortio.url) as mesh:
        caller.extra = 5
        with pytest.raises(DisturbedError, match="Envoy counted 45 of 40 calls"):
            mesh.measure(WIDE, Load(2, 40))


def test_it_sends_one_load_at_a_time(caller):
    with pytest.raises(InvalidValueError, match=r"lanes is 2; allowed: a whole number 1\.\.1"):
        EmbeddedMesh(lanes=2, fortio=caller.fortio.url)
    with pytest.raises(AwayError, match="no Fortio responds"):
        EmbeddedMesh(fortio="http://127.0.0.1:9/")


def test_the_command(caller, shop_text, tmp_path, capsys):
    (tmp_path / "shop.toml").write_text(shop_text)
    options = ["--scenario", str(tmp_path / "shop.toml"), "--rows", "3", "--out", str(tmp_path / "rows")]
    assert main(["collect", *options, "--fortio", caller.fortio.url]) == 0
    about, rows = read_collection(tmp_path / "rows" / "collection.db")
    assert about["service"]["generator"] == "Fortio"
    assert len(rows) == 3
    assert main(["doctor", "--fortio", caller.fortio.url]) == 0
    assert main(["collect", *options]) == 1  # with another generator
    assert "holds a collection with service" in capsys.readouterr().err


@pytest.fixture
def real():
    """URL of a real Fortio server."""
    binary = os.environ.get("MESHGYM_FORTIO")
    if not binary:
        pytest.skip("MESHGYM_FORTIO names no Fortio binary")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["-http-port", f"127.0.0.1:{port}", "-tcp-port", "disabled", "-udp-port", "disabled"]
    with subprocess.Popen(
        [binary, "server", *options, "-grpc-port", "disabled", "-redirect-port", "disabled"]
    ) as process:
        time.sleep(1)
        yield f"http://127.0.0.1:{port}/fortio/"
        process.terminate()


def test_a_real_fortio_measures_what_the_own_generator_does(real):
    """QPS within a tenth and shares of 503s within .05, where rules overflow and where they don't."""
    profile = replace(PLENTY, service_time_ms=5)
    found = {}
    for fortio in (None, real):
        with EmbeddedMesh(profile=profile, fortio=fortio) as mesh:
            runs = [mesh.measure(rules, Load(4, 403)) for rules in (WIDE, NARROW) for _ in range(5)]
        found[fortio] = np.array([[run.qps, run.p503] for run in runs]).reshape(2, 5, 2).mean(axis=1)
    np.testing.assert_allclose(found[None][:, 0], found[real][:, 0], rtol=0.1)
    np.testing.assert_allclose(found[None][:, 1], found[real][:, 1], atol=0.05)

"""A ramp finds an edge that is known, in few runs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from functools import partial

import numpy as np
import pytest

from meshgym.cli.main import main
from meshgym.errors import InvalidValueError, LoadError
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.service.profile import ServiceProfile
from meshgym.slo import output
from meshgym.slo.objective import read_slo
from meshgym.slo.ramp import ramp
from meshgym.types import Load, Response

SLO = read_slo(["success>99%"])


def open_loop(rate: float) -> Load:
    return Load(rate_per_s=rate, duration_s=2)


def closed_loop(threads: float) -> Load:
    return Load(threads=int(threads), calls=400)


def breaking_at(edge: float, noise: float = 0.0, seed: int = 0):
    """A service that returns 503s to what is beyond ``edge``."""
    generator = np.random.default_rng(seed)

    def measure(load: Load) -> Response:
        pace = load.rate_per_s or load.threads
        p503 = float(np.clip(1 - edge / pace + generator.normal(0, noise), 0, 1))
        return Response(pace, 1 - p503, p503, details={"latency_p99_s": 0.01})

    return measure


@pytest.mark.parametrize("edge", [11.0, 100.0, 333.0, 900.0])
def test_the_edge_lies_between_what_was_kept_and_what_broke(edge):
    found = ramp(breaking_at(edge), SLO, open_loop, 10, 1000, within=0.02)
    assert found.kept <= edge / 0.99 < found.broken <= 1.02 * found.kept
    assert len(found.runs) <= 20


def test_noise_is_outvoted():
    near = [ramp(breaking_at(200, 0.003, seed), SLO, open_loop, 10, 1000, runs=40).kept for seed in range(10)]
    assert np.mean([abs(kept / 202 - 1) < 0.08 for kept in near]) >= 0.9


def test_whole_numbers_end_side_by_side():
    found = ramp(breaking_at(37), SLO, closed_loop, 1, 64, whole=True)
    assert (found.kept, found.broken) == (37, 38)


def test_nothing_breaks_or_nothing_is_kept():
    never = ramp(breaking_at(5000), SLO, open_loop, 10, 1000)
    assert (never.kept, never.broken) == (1000, None)
    assert "kept up to 1000 calls/s, the highest pace" in output.edge(never, "calls/s")
    always = ramp(breaking_at(5), SLO, open_loop, 10, 1000)
    assert (always.kept, always.broken) == (None, 10)
    assert "not kept, already at 10 calls/s" in output.edge(always, "calls/s")


def test_it_ends_when_the_runs_are_used_up():
    found = ramp(breaking_at(500), SLO, open_loop, 10, 1000, runs=3)
    assert len(found.runs) == 3
    assert (found.kept, found.broken) == (40, None)


def test_a_run_that_fails_loses_nothing():
    good = breaking_at(100)

    def measure(load):
        if load.rate_per_s > 50:
            raise LoadError("the client can't send that fast")
        return good(load)

    found = ramp(measure, SLO, open_loop, 10, 1000)
    assert (found.kept, found.broken, len(found.runs)) == (40, None, 3)
    assert "can't send that fast" in found.failed
    with pytest.raises(LoadError, match="can't send"):
        ramp(measure, SLO, open_loop, 100, 1000)


@pytest.mark.parametrize("arguments", [(0, 10), (20, 10), (1, float("inf"))])
def test_impossible_paces(arguments):
    with pytest.raises(InvalidValueError, match="paces"):
        ramp(breaking_at(5), SLO, open_loop, *arguments)


@pytest.mark.envoy
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["token bucket", "workers"])
def test_the_edge_of_a_server_of_known_capacity(kind):
    # What waits, or is saved up, at once takes up what comes unevenly, and is served within the two seconds of a run.
    at_once = 60
    if kind == "token bucket":
        service = ServiceProfile(1, 1, burst=at_once, rate_per_s=200, mtls=False, proxy_workers=1)
        policy = {}
    else:
        service = ServiceProfile(1, 20, burst=10**5, rate_per_s=10**5, mtls=False, proxy_workers=1)
        pool = {"tcp": {"maxConnections": 4}, "http": {"http1MaxPendingRequests": at_once}}
        policy = {"connectionPool": pool}
    capacity = (200 + at_once / 2) / 0.99
    with EmbeddedMesh(profile=service) as mesh:
        found = ramp(partial(mesh.measure_policy, policy), SLO, open_loop, 20, 1000)
    assert found.kept is not None
    assert found.broken is not None
    assert len(found.runs) <= 20
    assert found.kept / 1.05 <= capacity <= found.broken * 1.05


@pytest.mark.envoy
@pytest.mark.slow
def test_by_command(tmp_path, monkeypatch, capsys, shop_text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text(shop_text)
    arguments = ["ramp", "shop.toml", "--slo", "success>99%", "p99<2s", "--from", "50", "--to", "100", "--quiet"]
    arguments += ["--seconds", "0.5", "--runs", "4", "--within", "0.5"]
    assert main(arguments) == 0
    assert "success>99%, p99<2s: " in capsys.readouterr().out
    found = json.loads((tmp_path / "ramps" / "shop" / "ramp.json").read_text())
    assert len(found["runs"]) >= 1
    ElementTree.parse(tmp_path / "ramps" / "shop" / "ramp.svg")
    page = (tmp_path / "ramps" / "shop" / "ramp.html").read_text()
    assert page.count("<svg") == 1
    assert "success&gt;99%, p99&lt;2s: " in page
    assert main([*arguments, "--at-least", "100000"]) == 1
    assert "It must be kept at 100000 calls/s" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--slo", "fast"], "objective is 'fast'"), ([], "--slo"), (["--slo", "p99<1s", "--to", "0"], "Must be > 0")],
)
def test_wrong_use(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["ramp", "S1", *options]) == 2
    assert message in capsys.readouterr().err

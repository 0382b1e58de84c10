"""A packed collection has the same rows, and a provenance that says how they were taken."""

import shutil

import pandas as pd
import pytest
from meshes import FakeMesh

from meshgym.errors import TraceError
from meshgym.scenarios import load_scenario
from meshgym.traces.collect import collect
from meshgym.traces.pack import pack, unpack
from meshgym.traces.store import load_traces, read_provenance


def test_rows_and_provenance(tmp_path):
    rows = collect(load_scenario("S1"), tmp_path / "S1", rows=60, seed=7, make_mesh=FakeMesh)
    path = pack(tmp_path / "S1", tmp_path / "packed.parquet")
    pd.testing.assert_frame_equal(load_traces(path), load_traces(rows))
    provenance = read_provenance(path)
    assert (provenance["scenario"], provenance["seed"], provenance["rows"], provenance["planned_rows"]) == (
        "S1",
        7,
        60,
        60,
    )
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
    (part / "rows.csv").write_text("".join(whole.read_text().splitlines(keepends=True)[:31]))

    folder = unpack(pack(part, tmp_path / "part.parquet"), tmp_path / "again")

    assert len(load_traces(folder / "rows.csv")) == 30
    pd.testing.assert_frame_equal(
        load_traces(collect(scenario, folder, rows=60, make_mesh=FakeMesh)), load_traces(whole)
    )
    with pytest.raises(TraceError, match="already holds a collection"):
        unpack(tmp_path / "part.parquet", folder)


def test_a_set_without_provenance_is_not_unpacked(tmp_path):
    rows = collect(load_scenario("S1"), tmp_path / "S1", rows=20, make_mesh=FakeMesh)
    with pytest.raises(TraceError, match="no provenance"):
        unpack(rows, tmp_path / "again")

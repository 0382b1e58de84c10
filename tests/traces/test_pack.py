"""A packed collection has the same rows, and a card that says how they were taken."""

import pandas as pd
import pytest
from meshes import FakeMesh

from meshgym.errors import TraceError
from meshgym.scenarios import load_scenario
from meshgym.traces.collect import collect
from meshgym.traces.pack import pack
from meshgym.traces.store import load_traces, read_card


def test_rows_and_card(tmp_path):
    rows = collect(load_scenario("S1"), tmp_path / "S1", rows=60, seed=7, make_mesh=FakeMesh)
    path = pack(tmp_path / "S1", tmp_path / "packed.parquet")
    pd.testing.assert_frame_equal(load_traces(path), load_traces(rows))
    card = read_card(path)
    assert (card["scenario"], card["seed"], card["rows"], card["planned_rows"]) == ("S1", 7, 60, 60)
    assert card["repeats"] == 5
    assert card["columns"]["qps"]["unit"] == "1/s"


def test_a_folder_without_a_collection_is_refused(tmp_path):
    with pytest.raises(TraceError, match="meshgym collect"):
        pack(tmp_path, tmp_path / "packed.parquet")

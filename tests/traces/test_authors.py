"""The authors' files, where they are at hand; the refusals everywhere."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from meshgym.errors import TraceError
from meshgym.traces.authors import load_authors_traces

FOLDER = Path(os.environ.get("MESHGYM_AUTHORS_TRACES", Path(__file__).parents[3] / "shared" / "data" / "sfr2l"))


def disclosed(name: str) -> Path:
    for path in (FOLDER / f"{name}.csv", FOLDER / f"{name}.csv.gz"):
        if path.is_file():
            return path
    pytest.skip(f"the authors' traces are not in {FOLDER}; set MESHGYM_AUTHORS_TRACES to their folder")


@pytest.mark.parametrize(
    ("name", "rows", "pending", "percent", "threads", "calls"),
    [
        ("S1", 9302, (1, 8), (100, 100), (1, 5), (400, 450)),
        ("S2", 12005, (1, 7), (100, 100), (3, 7), (100, 700)),
        ("S5", 6970, (15, 15), (22, 30), (16, 20), (1000, 2000)),
    ],
)
def test_the_disclosed_sets(
    name: str,
    rows: int,
    pending: tuple[int, int],
    percent: tuple[int, int],
    threads: tuple[int, int],
    calls: tuple[int, int],
) -> None:
    frame = load_authors_traces(disclosed(name))
    assert len(frame) == rows
    for column, span in {
        "http1_max_pending_requests": pending,
        "max_ejection_percent": percent,
        "threads": threads,
        "calls": calls,
        "base_ejection_time_s": (180, 180),
        "interval_s": (1, 1),
    }.items():
        assert (frame[column].min(), frame[column].max()) == span


def test_the_first_run_of_s1() -> None:
    first = load_authors_traces(disclosed("S1")).iloc[0]
    assert (first["threads"], first["calls"], first["p503"], first["p200"]) == (1, 400, 0, 1)
    assert 400 < first["qps"] < 401


def test_an_edited_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "S2.csv.gz"
    path.write_bytes(gzip.compress(b"1 1 1 3 1 1 100 3 100 0.5 900\n"))
    with pytest.raises(TraceError, match="checksum differs"):
        load_authors_traces(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "S3.csv").write_text("1 2 3\n")
    with pytest.raises(TraceError, match=r"not one of the authors' files S1.csv, S2.csv, S5.csv"):
        load_authors_traces(tmp_path / "S3.csv")
    with pytest.raises(TraceError, match="there is no trace file"):
        load_authors_traces(tmp_path / "S1.csv")
    (tmp_path / "S1.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(TraceError, match="isn't a trace file"):
        load_authors_traces(tmp_path / "S1.csv.gz")

"""Trace files: what is written comes back, and what is wrong is named."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgym.errors import FolderError, TraceError
from meshgym.fields import LOADS, OUTCOMES, RULES
from meshgym.scenarios import load_scenario
from meshgym.traces.schema import COLUMNS, REQUIRED
from meshgym.traces.store import check_scenario, check_traces, load_traces, read_provenance, trace_hash, write_traces
from meshgym.types import RESPONSE_NAMES


@pytest.fixture
def frame() -> pd.DataFrame:
    """Twenty runs over S3's ranges with one optional column, columns out of order."""
    generator = np.random.default_rng(0)
    columns = {name: generator.choice(span.values, 20) for name, span in load_scenario("S3").ranges.items()}
    p503 = generator.uniform(size=20)
    measured = {"repeat": 0, "qps": generator.uniform(0, 900, 20), "p503": p503, "p200": 1 - p503}
    return pd.DataFrame(measured | columns)


@pytest.fixture
def path(frame: pd.DataFrame, tmp_path: Path) -> Path:
    return write_traces(frame, tmp_path / "new folder" / "own.parquet", {"how": "by hand"})


def test_columns_come_from_the_tables_of_fields() -> None:
    first = [*RULES, *LOADS, *RESPONSE_NAMES]
    assert [*COLUMNS][: len(first)] == first
    assert ("calls", *RESPONSE_NAMES) == REQUIRED
    assert all(COLUMNS[name] is field for table in (RULES, LOADS) for name, field in table.items())
    for name, field in OUTCOMES.items():
        assert field.counted in COLUMNS if field.counted else COLUMNS[name] is field


def test_what_is_written_comes_back(frame: pd.DataFrame, path: Path) -> None:
    again = load_traces(path)
    assert list(again) == [name for name in COLUMNS if name in frame]
    pd.testing.assert_frame_equal(again, frame, check_like=True, check_dtype=False)
    assert again["threads"].dtype == np.int64
    assert again["interval_s"].dtype == np.float64


def test_the_provenance_holds_units_and_hash(frame: pd.DataFrame, path: Path) -> None:
    provenance = read_provenance(path)
    assert provenance is not None
    assert provenance["how"] == "by hand"
    assert provenance["rows"] == len(frame)
    assert provenance["columns"]["qps"]["unit"] == "1/s"
    assert provenance["sha256"] == trace_hash(load_traces(path))


@pytest.mark.parametrize("name", ["own.csv", "own.csv.gz"])
def test_csv_is_the_same_set(path: Path, tmp_path: Path, name: str) -> None:
    original = load_traces(path)
    original.to_csv(tmp_path / name, index=False)
    assert trace_hash(load_traces(tmp_path / name)) == trace_hash(original)
    assert read_provenance(tmp_path / name) is None


@given(row=st.integers(0, 19), column=st.sampled_from(REQUIRED))
def test_any_change_changes_the_hash(row: int, column: str) -> None:
    runs = pd.DataFrame({name: np.linspace(0.1, 0.3, 20) for name in REQUIRED})
    changed = runs.copy()
    changed.loc[row, column] = np.nextafter(changed.loc[row, column], 1)
    assert trace_hash(changed) != trace_hash(runs)


@pytest.mark.parametrize("change", ["edited", "cut"])
def test_contents_that_do_not_match_the_provenance_are_refused(path: Path, change: str) -> None:
    runs = load_traces(path)
    if change == "cut":
        runs = runs.iloc[:-1]
    else:
        runs.loc[3, "qps"] += 1
    runs.to_parquet(path)
    with pytest.raises(TraceError, match=r"doesn't match its provenance own\.json"):
        load_traces(path)


def test_a_truncated_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(TraceError, match="or is damaged"):
        load_traces(path)


def test_a_provenance_that_is_not_json_is_refused(path: Path) -> None:
    path.with_suffix(".json").write_text("{")
    with pytest.raises(TraceError, match="isn't a provenance"):
        load_traces(path)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("p503", 1.5, "(share): found 1.5; expected a share 0..1"),
        ("p200", np.nan, "(share): found nan; expected a share 0..1"),
        ("qps", -1.0, "(1/s): found -1.0; expected a finite number, 0 and above"),
        ("threads", 2.5, "(connections): found 2.5; expected a whole number 1..4096"),
        ("max_ejection_percent", 101, "(%): found 101"),
        ("calls", "many", "(calls): found 'many'; expected a whole number 1..2147483647"),
        ("qps", np.inf, "(1/s): found inf"),
    ],
)
def test_a_wrong_value_is_named(frame: pd.DataFrame, tmp_path: Path, column: str, value: Any, expected: str) -> None:
    runs = frame.astype({column: object})
    runs.loc[6, column] = value
    with pytest.raises(TraceError) as caught:
        check_traces(runs, "own.csv")
    assert f"own.csv, row 7, column {column} {expected}" in str(caught.value)
    runs.to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(TraceError, match=f"row 7, column {column}"):
        load_traces(tmp_path / "own.csv")


def test_shares_beyond_one_are_named(frame: pd.DataFrame) -> None:
    frame.loc[2, ["p200", "p503"]] = [0.7, 0.6]
    with pytest.raises(TraceError, match=r"row 3: p200 and p503 are at most 1 together; found p200 0.7, p503 0.6"):
        check_traces(frame, "own.csv")


def test_wrong_columns_are_named(frame: pd.DataFrame) -> None:
    with pytest.raises(TraceError, match="no column qps"):
        check_traces(frame.drop(columns="qps"), "own.csv")
    with pytest.raises(TraceError, match="Did you mean 'latency_p99_s'"):
        check_traces(frame.assign(latency_p99=1), "own.csv")
    with pytest.raises(TraceError, match="no rows"):
        check_traces(frame.iloc[:0], "own.csv")


def test_what_is_no_trace_file_is_refused(frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="there is no trace file"):
        load_traces(tmp_path / "none.csv")
    with pytest.raises(TraceError, match=r"ending in \.db, \.parquet"):
        load_traces(tmp_path / "none.txt")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(TraceError, match="or is damaged"):
        load_traces(tmp_path / "empty.csv")
    with pytest.raises(TraceError, match=r"written as \.parquet or \.csv, not as own\.txt"):
        write_traces(frame, tmp_path / "own.txt", {})


def test_a_folder_that_cannot_be_written(frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="cannot write"):
        write_traces(frame, tmp_path / "file" / "own.parquet", {})


@pytest.fixture
def counted(frame: pd.DataFrame) -> pd.DataFrame:
    """The same runs, with counts, times and numbers that fit."""
    ok = np.floor(frame["p200"] * frame["calls"])
    calls = frame["calls"]
    more = {"overflow": calls - ok, "no_healthy_host": 0, "upstream_error": 0, "other_error": 0}
    shares = {"p200": ok / calls, "p503": 1 - ok / calls, "duration_s": calls / frame["qps"], "run": range(20)}
    return frame.assign(ok=ok, **more, **shares)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda runs: runs.rename(columns={"p200": "p503", "p503": "p200"}), "p200 is ok / calls"),
        (lambda runs: runs.rename(columns={"calls": "max_connections", "max_connections": "calls"}), "counted once"),
        (lambda runs: runs.rename(columns={"ok": "overflow", "overflow": "ok"}), "p200 is ok / calls"),
        (lambda runs: pd.concat([runs, runs]), "each run stands once"),
        (lambda runs: runs.iloc[[*range(20), 3]], "each run stands once"),
        (lambda runs: runs.assign(run=7), "each run stands once"),
        (lambda runs: pd.concat([runs, runs]).drop(columns="run"), "no run stands twice"),
        (lambda runs: runs.assign(qps=runs["qps"].where(runs.index != 4, 8)), "row 5: qps is calls / duration_s"),
        (lambda runs: runs.assign(threads=4096), "a thread makes at least two calls"),
        (lambda runs: runs.assign(threads=10**18), "column threads"),
        (lambda runs: runs.assign(threads=1e308), "column threads"),
        (lambda runs: runs.assign(max_connections=True), "column max_connections"),
        (lambda runs: runs.assign(calls=pd.Timestamp("2020-01-01")), "column calls"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_cannot_be_true_is_named(
    counted: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame], says: str, suffix: str, tmp_path: Path
) -> None:
    write_traces(counted, tmp_path / "right.parquet", {})
    path = tmp_path / f"wrong.{suffix}"
    changed = change(counted)
    changed.to_csv(path, index=False) if suffix == "csv" else changed.to_parquet(path, index=False)
    with pytest.raises(TraceError, match=re.escape(says)):
        load_traces(path)


def test_a_last_line_without_an_end_is_refused(counted: pd.DataFrame, tmp_path: Path) -> None:
    whole = counted.to_csv(index=False)
    (tmp_path / "cut.csv").write_text(whole[:-1])
    with pytest.raises(TraceError, match="its last line has no end"):
        load_traces(tmp_path / "cut.csv")


def test_what_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"0" * 10**6))
    monkeypatch.setattr("meshgym.traces.store.DATA_BYTES", 10**5)
    with pytest.raises(TraceError, match="unpacked, it has more than 100,000 bytes"):
        load_traces(tmp_path / "bomb.csv.gz")


def test_traces_of_another_scenario_are_refused(frame: pd.DataFrame) -> None:
    check_scenario(frame, load_scenario("S3"))
    with pytest.raises(TraceError, match=r"row \d+ of the traces has .*: they are of another scenario"):
        check_scenario(frame, load_scenario("S1"))
    with pytest.raises(TraceError, match="the traces are of scenario S2, not of S1"):
        check_scenario(load_traces("S2"), load_scenario("S1"))


def test_a_latency_is_left_out_where_it_rests_on_too_few(counted: pd.DataFrame, tmp_path: Path) -> None:
    p99 = np.where(counted["ok"] >= 100, 0.02, np.nan)
    assert np.isnan(p99).any()
    assert not np.isnan(p99).all()
    frame = counted.assign(latency_p99_s=p99)
    for name in ("a.csv", "a.parquet"):
        path = write_traces(frame, tmp_path / name, {})
        assert np.array_equal(load_traces(path)["latency_p99_s"], p99, equal_nan=True)
    says = "latency_p99_s is left out where, and only where"
    for wrong in (np.where(np.isnan(p99), 0.02, p99), np.full(len(p99), 0.02)):
        with pytest.raises(TraceError, match=says):
            check_traces(counted.assign(latency_p99_s=wrong), "own.csv")
    emptied = p99.copy()
    emptied[np.flatnonzero(~np.isnan(p99))[0]] = np.nan
    with pytest.raises(TraceError, match=says):
        check_traces(counted.assign(latency_p99_s=emptied), "own.csv")
    with pytest.raises(TraceError, match="column latency_p99_s"):
        check_traces(counted.assign(latency_p99_s="soon"), "own.csv")

"""The SQLite file of a collection: its tables, its checksums, and how it is opened."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from meshgym.errors import FolderError, TraceError
from meshgym.fields import settings_among
from meshgym.files import DATA_BYTES, parse_json, reading
from meshgym.traces.plan import Plan
from meshgym.traces.schema import EVERY_DETAIL
from meshgym.types import RESPONSE_NAMES


def run_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Return what a row of the table ``runs`` holds besides its place and checksum, if it has these details."""
    details = set(names)
    return ("run", "lane", "attempt", *RESPONSE_NAMES, *(name for name in EVERY_DETAIL if name in details))


def plan_columns(names: Sequence[str], asked: bool) -> tuple[str, ...]:
    """Return the columns of the table ``plan``; the last one only if the plan says why each run is made."""
    return ("run", *names, "repeat", *(["asked"] if asked else []))


def plan_rows(plan: Plan) -> list[list[float]]:
    """Return the rows of the table ``plan``."""
    numbers = np.arange(len(plan), dtype=np.float64)
    asked = [] if plan.asked is None else [plan.asked]
    rows: list[list[float]] = np.column_stack([numbers, plan.settings, plan.repeat, *asked]).tolist()
    return rows


TABLES = {
    "about": "CREATE TABLE about (provenance TEXT NOT NULL, sha256 TEXT NOT NULL)",
    "given_up": "CREATE TABLE given_up (run INTEGER PRIMARY KEY REFERENCES plan, reason TEXT NOT NULL)",
}


def plan_table(columns: Sequence[str]) -> str:
    values = ", ".join(f"{name} REAL NOT NULL" for name in columns[1:])
    return f"CREATE TABLE plan (run INTEGER PRIMARY KEY, {values})"


def runs_table(columns: Sequence[str]) -> str:
    """Return the table's statement; a collection keeps the columns that it began with."""
    values = ", ".join(f"{name} REAL" for name in columns[1:])
    place = "place INTEGER PRIMARY KEY, run INTEGER NOT NULL UNIQUE REFERENCES plan"
    return f"CREATE TABLE runs ({place}, {values}, sha256 TEXT NOT NULL)"


#: Seconds that a commit waits for readers.
_WAIT_S = 10.0
_REMEDY = "Restore it, or collect into another folder."


def busy(folder: Path) -> TraceError:
    """Return the error of a folder that another process collects into."""
    return TraceError(f"another collector is writing to {folder}; wait for it or choose another folder")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    with reading(path, "a collection", TraceError, _REMEDY):
        yield


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open the database; check that it is one of ours, and whole."""
    with _reading(path):
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > DATA_BYTES:
            raise ValueError(f"it is no regular file of at most {DATA_BYTES:,} bytes")
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT_S)
        try:
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "foreign_keys = ON", "synchronous = FULL"):
                database.execute(f"PRAGMA {pragma}")
            if database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                raise ValueError("SQLite finds it damaged")
            found = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            tables = {"plan": plan_table(_planned(database)), "runs": runs_table(measured_columns(database)), **TABLES}
            if dict(found) != tables or database.execute("PRAGMA foreign_key_check").fetchall():
                raise ValueError("it holds other tables, or rows of no run")
        except BaseException:
            database.close()
            raise
        return database


def begin(database: sqlite3.Connection, path: Path) -> None:
    """Take the database's write lock, without a wait: who has it is another collector."""
    try:
        database.execute("PRAGMA busy_timeout = 0")
        database.execute("BEGIN IMMEDIATE")
        database.execute(f"PRAGMA busy_timeout = {_WAIT_S * 1000:.0f}")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise FolderError(f"cannot write to {path} ({error}); what it holds is kept") from error
        raise busy(path.parent) from None


def read_plan(database: sqlite3.Connection, path: Path) -> tuple[dict[str, Any], Plan]:
    with _reading(path):
        ((provenance, checksum),) = database.execute("SELECT * FROM about").fetchall()
        about = parse_json(provenance)
        columns = _planned(database)
        rows = database.execute(f"SELECT {', '.join(columns)} FROM plan ORDER BY run").fetchall()
        by_name = dict(zip(columns, np.array(rows, np.float64).T, strict=True))
        names = settings_among(columns)
        repeat, asked = by_name["repeat"].astype(np.int64), by_name.get("asked")
        settings = np.column_stack([by_name[name] for name in names])
        plan = Plan(settings, repeat, names, None if asked is None else asked.astype(np.int64))
        numbered = np.array_equal(by_name["run"], np.arange(len(plan)))
        if checksum != sha256(provenance) or not numbered or plan.sha256 != about["plan_sha256"]:
            raise ValueError("a checksum doesn't fit")
        return about, plan


def _planned(database: sqlite3.Connection) -> tuple[str, ...]:
    """Return the columns of the table ``plan``."""
    found = [name for _, name, *_ in database.execute("PRAGMA table_info(plan)")]
    return plan_columns(settings_among(found), "asked" in found)


def measured_columns(database: sqlite3.Connection) -> tuple[str, ...]:
    """Return the columns of the measured runs."""
    return run_columns(name for _, name, *_ in database.execute("PRAGMA table_info(runs)"))


def read_runs(database: sqlite3.Connection, path: Path) -> dict[str, tuple[Any, ...]]:
    """Return the measured runs by column."""
    with _reading(path):
        names = measured_columns(database)
        rows = database.execute(f"SELECT {', '.join(names)}, sha256 FROM runs ORDER BY place").fetchall()
        for run, *values, checksum in rows:
            if checksum != _checksum([float(run), *values]):
                raise ValueError(f"the checksum of run {run} doesn't fit")
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return dict(zip(names, columns, strict=False))


def read_given_up(database: sqlite3.Connection, path: Path) -> dict[int, str]:
    with _reading(path):
        return dict(database.execute("SELECT run, reason FROM given_up ORDER BY run").fetchall())


def insertion(table: str, columns: int) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"


def row_of(run: Mapping[Any, Any], columns: Sequence[str]) -> list[Any]:
    """Return the row of the table ``runs`` for a run, by column of the schema; SQLite gives it its place."""
    values = [float(run["run"]), *(_rounded(run.get(name)) for name in columns[1:])]
    return [None, *values, _checksum(values)]


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(float(value), 6)


def _checksum(values: Sequence[float | None]) -> str:
    return sha256(json.dumps(values))[:16]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

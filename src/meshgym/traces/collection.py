"""A collection: one SQLite file with the plan, its runs, those that were given up, and the provenance.

Each run is a transaction that is on the disk before it counts. A run's setting is the plan's, so it can't differ from
it. The writer always holds the database's own write lock; others may read meanwhile. Each row has a checksum, because
SQLite doesn't notice a changed number.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from meshgym.errors import FolderError, TraceError, clean
from meshgym.fields import settings_among
from meshgym.files import DATA_BYTES, parse_json, reading
from meshgym.traces.plan import Plan
from meshgym.traces.schema import DETAILS, EVERY_DETAIL
from meshgym.types import RESPONSE_NAMES

#: Name of the file in a collection's folder.
FILENAME = "collection.db"


def _run(names: Iterable[str]) -> tuple[str, ...]:
    """Return what a row of the table ``runs`` holds besides its place and checksum, if it has these details."""
    details = set(names)
    return ("run", "lane", "attempt", *RESPONSE_NAMES, *(name for name in EVERY_DETAIL if name in details))


def _planned(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the table ``plan``."""
    return ("run", *names, "repeat")


_TABLES = {
    "about": "CREATE TABLE about (provenance TEXT NOT NULL, sha256 TEXT NOT NULL)",
    "given_up": "CREATE TABLE given_up (run INTEGER PRIMARY KEY REFERENCES plan, reason TEXT NOT NULL)",
}


def _plan_table(names: Sequence[str]) -> str:
    columns = ", ".join(f"{name} REAL NOT NULL" for name in _planned(names)[1:])
    return f"CREATE TABLE plan (run INTEGER PRIMARY KEY, {columns})"


def _runs_table(columns: Sequence[str]) -> str:
    """Return the table's statement; a collection keeps the columns that it began with."""
    values = ", ".join(f"{name} REAL" for name in columns[1:])
    place = "place INTEGER PRIMARY KEY, run INTEGER NOT NULL UNIQUE REFERENCES plan"
    return f"CREATE TABLE runs ({place}, {values}, sha256 TEXT NOT NULL)"


#: Seconds that a commit waits for readers.
_WAIT_S = 10.0
_REMEDY = "Restore it, or collect into another folder."


class Collection:
    """The file of a collection, open to add runs; a context manager that keeps other writers out.

    Args:
        path: the file, made by :func:`create`.

    Attributes:
        about: the provenance.
        plan: what is run.

    Raises:
        TraceError: there is no such file, it is damaged, or another collector writes to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = _connect(path, "rw")
        try:
            _begin(self._database, path)
            self.about, self.plan = _read_plan(self._database, path)
            self._columns = _columns(self._database)
            self._done = {int(run) for run in _read_runs(self._database, path)["run"]}
            _read_given_up(self._database, path)
        except BaseException:
            self._database.close()
            raise
        self._identity = _identity(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write."""
        self._database.close()

    def missing(self) -> list[int]:
        """Return the runs that aren't measured."""
        return [run for run in range(len(self.plan)) if run not in self._done]

    def add(self, run: int, lane: int, attempt: int, response: Mapping[str, float]) -> None:
        """Add a measured run; it is on the disk when this returns.

        Args:
            run: its number in the plan.
            lane, attempt: see :data:`meshgym.traces.schema.BOOKKEEPING`.
            response: what came back, by column.

        Raises:
            FolderError: it can't be written; what was added before is kept.
            TraceError: the file was removed or replaced meanwhile, or another collector writes to it.
        """
        row = _row({**response, "run": run, "lane": lane, "attempt": attempt}, self._columns)
        self._execute((_insertion("runs", len(row)), row), ("DELETE FROM given_up WHERE run = ?", [run]))
        self._done.add(run)

    def give_up(self, run: int, reason: str) -> None:
        """Note that a run failed every time, until it is added; see :meth:`add`."""
        self._execute(("INSERT OR REPLACE INTO given_up VALUES (?, ?)", [run, clean(reason)]))

    def note_versions(self, versions: Mapping[str, str]) -> None:
        """Tell in the provenance from which row on the versions were others than before; see :meth:`add`."""
        changes = self.about.get("later_versions", [])
        known = {**self.about.get("versions", {}), **{name: value for one in changes for name, value in one.items()}}
        if changed := {name: value for name, value in versions.items() if known.get(name) != value}:
            self.about["later_versions"] = [*changes, {"from_row": len(self._done), **changed}]
            provenance = json.dumps(self.about)
            self._execute(("UPDATE about SET provenance = ?, sha256 = ?", [provenance, _sha256(provenance)]))

    def _execute(self, *statements: tuple[str, Sequence[Any]]) -> None:
        """Carry out statements as one transaction."""
        if _identity(self.path) != self._identity:
            raise TraceError(f"{self.path} was removed or replaced while it was written to; what it held went with it")
        try:
            for statement, values in statements:
                self._database.execute(statement, values)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise FolderError(f"cannot write to {self.path} ({error}); the runs before are kept") from error
        _begin(self._database, self.path)


def create(path: Path, about: Mapping[str, Any], plan: Plan, rows: Sequence[Mapping[Any, Any]] = ()) -> None:
    """Make the file of a collection in one transaction; leave one that exists as it is.

    Args:
        path: ends in ``.db``.
        about: the provenance, plain values.
        plan: what is run.
        rows: runs measured before, with columns of the schema.

    Raises:
        FolderError: it can't be written.
        TraceError: another collector makes it.
    """
    provenance = json.dumps(about)
    columns = _run(DETAILS if not rows else (str(name) for row in rows for name in row))
    planned = [[run, *map(float, setting), float(plan.repeat[run])] for run, setting in enumerate(plan.settings)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            _begin(database, path)
            if database.execute("SELECT 1 FROM sqlite_master").fetchone():
                return
            for statement in (_plan_table(plan.names), _runs_table(columns), *_TABLES.values()):
                database.execute(statement)
            database.execute("INSERT INTO about VALUES (?, ?)", [provenance, _sha256(provenance)])
            database.executemany(_insertion("plan", len(_planned(plan.names))), planned)
            database.executemany(_insertion("runs", len(columns) + 2), (_row(row, columns) for row in rows))
            database.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise FolderError(f"cannot write {path} ({error}); free space or choose another folder") from error


def busy(folder: Path) -> TraceError:
    """Return the error of a folder that another process collects into."""
    return TraceError(f"another collector is writing to {folder}; wait for it or choose another folder")


def begun(path: Path) -> bool:
    """Return whether there is a collection; an empty file was ended before anything was in it."""
    return path.exists() and path.stat().st_size > 0


def read_collection(path: Path) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Return the provenance and the runs of a collection, in the order in which they were measured.

    Raises:
        TraceError: there is no such file, or it is damaged.
    """
    with closing(_connect(path, "ro")) as database:
        about, plan = _read_plan(database, path)
        runs = _read_runs(database, path)
    rows = []
    for run, *values in zip(*runs.values(), strict=True):
        number = int(run)
        setting = dict(zip(plan.names, plan.settings[number].tolist(), strict=True))
        measured = {name: value for name, value in zip(list(runs)[1:], values, strict=True) if value is not None}
        rows.append({**setting, **measured, "repeat": int(plan.repeat[number]), "run": number})
    return about, rows


def read_about(path: Path) -> dict[str, Any]:
    """Return the provenance of a collection.

    Raises:
        TraceError: see :func:`read_collection`.
    """
    with closing(_connect(path, "ro")) as database:
        return _read_plan(database, path)[0]


def read_given_up(path: Path) -> dict[int, str]:
    """Return the runs that failed every time, with the reasons.

    Raises:
        TraceError: see :func:`read_collection`.
    """
    with closing(_connect(path, "ro")) as database:
        return _read_given_up(database, path)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    with reading(path, "a collection", TraceError, _REMEDY):
        yield


def _connect(path: Path, mode: str) -> sqlite3.Connection:
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
            tables = {"plan": _plan_table(_names(database)), "runs": _runs_table(_columns(database)), **_TABLES}
            if dict(found) != tables or database.execute("PRAGMA foreign_key_check").fetchall():
                raise ValueError("it holds other tables, or rows of no run")
        except BaseException:
            database.close()
            raise
        return database


def _begin(database: sqlite3.Connection, path: Path) -> None:
    """Take the database's write lock, without a wait: who has it is another collector."""
    try:
        database.execute("PRAGMA busy_timeout = 0")
        database.execute("BEGIN IMMEDIATE")
        database.execute(f"PRAGMA busy_timeout = {_WAIT_S * 1000:.0f}")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise FolderError(f"cannot write to {path} ({error}); what it holds is kept") from error
        raise busy(path.parent) from None


def _read_plan(database: sqlite3.Connection, path: Path) -> tuple[dict[str, Any], Plan]:
    with _reading(path):
        ((provenance, sha256),) = database.execute("SELECT * FROM about").fetchall()
        about = parse_json(provenance)
        names = _names(database)
        rows = database.execute(f"SELECT {', '.join(_planned(names))} FROM plan ORDER BY run").fetchall()
        table = np.array(rows, np.float64)
        plan = Plan(np.ascontiguousarray(table[:, 1:-1]), table[:, -1].astype(np.int64), names)
        numbered = np.array_equal(table[:, 0], np.arange(len(table)))
        if sha256 != _sha256(provenance) or not numbered or plan.sha256 != about["plan_sha256"]:
            raise ValueError("a checksum doesn't fit")
        return about, plan


def _names(database: sqlite3.Connection) -> tuple[str, ...]:
    """Return the columns of the plan's settings."""
    return settings_among(name for _, name, *_ in database.execute("PRAGMA table_info(plan)"))


def _columns(database: sqlite3.Connection) -> tuple[str, ...]:
    """Return the columns of the measured runs."""
    return _run(name for _, name, *_ in database.execute("PRAGMA table_info(runs)"))


def _read_runs(database: sqlite3.Connection, path: Path) -> dict[str, tuple[Any, ...]]:
    """Return the measured runs by column."""
    with _reading(path):
        names = _columns(database)
        rows = database.execute(f"SELECT {', '.join(names)}, sha256 FROM runs ORDER BY place").fetchall()
        for run, *values, sha256 in rows:
            if sha256 != _checksum([float(run), *values]):
                raise ValueError(f"the checksum of run {run} doesn't fit")
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return dict(zip(names, columns, strict=False))


def _read_given_up(database: sqlite3.Connection, path: Path) -> dict[int, str]:
    with _reading(path):
        return dict(database.execute("SELECT run, reason FROM given_up ORDER BY run").fetchall())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _insertion(table: str, columns: int) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"


def _row(run: Mapping[Any, Any], columns: Sequence[str]) -> list[Any]:
    """Return the row of the table ``runs`` for a run, by column of the schema; SQLite gives it its place."""
    values = [float(run["run"]), *(_rounded(run.get(name)) for name in columns[1:])]
    return [None, *values, _checksum(values)]


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(float(value), 6)


def _checksum(values: Sequence[float | None]) -> str:
    return _sha256(json.dumps(values))[:16]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""A collection: one SQLite file with the plan, its runs, those that were given up, and the provenance.

Each run is a transaction that is on the disk before it counts. A run's setting is the plan's, so it can't differ from
it. The writer always holds the database's own write lock; others may read meanwhile. Each row has a checksum, because
SQLite doesn't notice a changed number.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from meshgym.errors import FolderError, TraceError, clean
from meshgym.traces import database
from meshgym.traces.database import insertion, sha256
from meshgym.traces.plan import Plan
from meshgym.traces.schema import DETAILS

#: Name of the file in a collection's folder.
FILENAME = "collection.db"


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
        self._database = database.connect(path, "rw")
        try:
            database.begin(self._database, path)
            self.about, self.plan = database.read_plan(self._database, path)
            self._columns = database.measured_columns(self._database)
            self._done = {int(run) for run in database.read_runs(self._database, path)["run"]}
            database.read_given_up(self._database, path)
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

    def measured(self) -> dict[int, dict[str, float]]:
        """Return what was measured of each run, by its number in the plan; what a file of it would hold."""
        runs = database.read_runs(self._database, self.path)
        return {int(run): dict(zip(list(runs)[1:], own, strict=True)) for run, *own in zip(*runs.values(), strict=True)}

    def extend(self, plan: Plan) -> None:
        """Make the plan longer; see :meth:`add`.

        Args:
            plan: the whole longer plan, which begins with this one.
        """
        table = insertion("plan", len(database.plan_columns(plan.names, plan.asked is not None)))
        added = [(table, row) for row in database.plan_rows(plan)[len(self.plan) :]]
        self.note({"rows": len(plan), "plan_sha256": plan.sha256}, *added)
        self.plan = plan

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
        self.add_together({run: response}, lane, attempt)

    def add_together(self, responses: Mapping[int, Mapping[str, float]], lane: int, attempt: int) -> None:
        """Add runs that count together or not at all; see :meth:`add`.

        Args:
            responses: by the run's number in the plan.
            lane, attempt: of all of them.
        """
        statements: list[tuple[str, Sequence[Any]]] = []
        for run, response in responses.items():
            row = database.row_of({**response, "run": run, "lane": lane, "attempt": attempt}, self._columns)
            statements += [(insertion("runs", len(row)), row), ("DELETE FROM given_up WHERE run = ?", [run])]
        self._execute(*statements)
        self._done.update(responses)

    def give_up(self, run: int, reason: str) -> None:
        """Note that a run failed every time, until it is added; see :meth:`add`."""
        self._execute(("INSERT OR REPLACE INTO given_up VALUES (?, ?)", [run, clean(reason)]))

    def note_versions(self, versions: Mapping[str, str]) -> None:
        """Tell in the provenance from which row on the versions were others than before; see :meth:`add`."""
        changes = self.about.get("later_versions", [])
        known = {**self.about.get("versions", {}), **{name: value for one in changes for name, value in one.items()}}
        if changed := {name: value for name, value in versions.items() if known.get(name) != value}:
            self.note({"later_versions": [*changes, {"from_row": len(self._done), **changed}]})

    def note(self, changes: Mapping[str, Any], *statements: tuple[str, Sequence[Any]]) -> None:
        """Change the provenance, together with what else the statements change; see :meth:`add`."""
        about = {**self.about, **changes}
        provenance = json.dumps(about)
        changing = ("UPDATE about SET provenance = ?, sha256 = ?", [provenance, sha256(provenance)])
        self._execute(*statements, changing)
        self.about = about

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
        database.begin(self._database, self.path)


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
    columns = database.run_columns(DETAILS if not rows else (str(name) for row in rows for name in row))
    columns_of_plan = database.plan_columns(plan.names, plan.asked is not None)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as opened:
            database.begin(opened, path)
            if opened.execute("SELECT 1 FROM sqlite_master").fetchone():
                return
            for statement in (
                database.plan_table(columns_of_plan),
                database.runs_table(columns),
                *database.TABLES.values(),
            ):
                opened.execute(statement)
            opened.execute("INSERT INTO about VALUES (?, ?)", [provenance, sha256(provenance)])
            opened.executemany(insertion("plan", len(columns_of_plan)), database.plan_rows(plan))
            opened.executemany(insertion("runs", len(columns) + 2), (database.row_of(row, columns) for row in rows))
            opened.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise FolderError(f"cannot write {path} ({error}); free space or choose another folder") from error


def begun(path: Path) -> bool:
    """Return whether there is a collection; an empty file was ended before anything was in it."""
    return path.exists() and path.stat().st_size > 0


def read_collection(path: Path) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Return the provenance and the runs of a collection, in the order in which they were measured.

    Raises:
        TraceError: there is no such file, or it is damaged.
    """
    with closing(database.connect(path, "ro")) as opened:
        about, plan = database.read_plan(opened, path)
        runs = database.read_runs(opened, path)
    rows = []
    for run, *values in zip(*runs.values(), strict=True):
        number = int(run)
        setting = dict(zip(plan.names, plan.settings[number].tolist(), strict=True))
        measured = {name: value for name, value in zip(list(runs)[1:], values, strict=True) if value is not None}
        asked: dict[str, float] = {} if plan.asked is None else {"asked": int(plan.asked[number])}
        rows.append({**setting, **measured, "repeat": int(plan.repeat[number]), "run": number, **asked})
    return about, rows


def read_about(path: Path) -> dict[str, Any]:
    """Return the provenance of a collection.

    Raises:
        TraceError: see :func:`read_collection`.
    """
    with closing(database.connect(path, "ro")) as opened:
        return database.read_plan(opened, path)[0]


def read_given_up(path: Path) -> dict[int, str]:
    """Return the runs that failed every time, with the reasons.

    Raises:
        TraceError: see :func:`read_collection`.
    """
    with closing(database.connect(path, "ro")) as opened:
        return database.read_given_up(opened, path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino

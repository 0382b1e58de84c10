"""Collect traces from a mesh into a folder, and continue a collection that was stopped.

The folder holds ``collection.json`` (scenario, seed, hash of the plan, service, versions), ``rows.csv`` (one line per
run, appended in one write) and ``failed.csv`` (runs that were given up, with the reason). A process may be
killed at any time: complete lines are kept; an incomplete line is dropped and its run is repeated.
"""

from __future__ import annotations

import json
import platform
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from meshgym.errors import InvalidValueError, MeshError, TraceError
from meshgym.files import lock, write_json
from meshgym.mesh.base import Mesh
from meshgym.mesh.embedded.mesh import MOST_LANES, EmbeddedMesh
from meshgym.mesh.embedded.process import envoy_version
from meshgym.scenarios import Scenario
from meshgym.traces.appended import AppendedCsv
from meshgym.traces.lanes import Lanes, MeshFactory, OneLane, Outcome, Pool, SharedLanes
from meshgym.traces.plan import Plan, make_plan
from meshgym.traces.schema import BOOKKEEPING, COLUMNS
from meshgym.types import SETTING_NAMES, Progress, Response, Setting

_ATTEMPTS = 3
#: If so many runs in a row are given up, the mesh is broken, not the runs.
_GIVE_UP = 5


def only_collector(folder: Path) -> AbstractContextManager[None]:
    """Keep other collectors out of a folder; raise ``TraceError`` if there is one."""
    busy = TraceError(f"another collector is writing to {folder}; wait for it or choose another folder")
    return lock(folder / "lock", busy)


class Collection:
    """A folder that is being filled with the runs of a plan; a context manager that locks it.

    Args:
        folder: made if it doesn't exist.
        scenario: what is collected.
        plan: what is run.
        seed: seed of the plan.
        about: the service that is measured; None for the one that the embedded mesh makes of the scenario.

    Raises (on entering):
        FolderError: the folder can't be written.
        TraceError: the folder holds another plan, is in use, or was damaged.
    """

    def __init__(
        self, folder: Path, scenario: Scenario, plan: Plan, seed: int, about: Mapping[str, Any] | None = None
    ) -> None:
        self.folder, self.scenario, self.plan = folder, scenario, plan
        self.identity: dict[str, Any] = {
            "scenario": scenario.name,
            "rows": len(plan),
            "seed": seed,
            "plan_sha256": self.plan.sha256,
            "service": about if about or not scenario.service else asdict(scenario.service),
        }
        self._embedded = about is None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:  # closes what was opened if a later step fails
            opening.enter_context(only_collector(self.folder))
            self._check_identity()
            self._rows = opening.enter_context(AppendedCsv(self.folder / "rows.csv", list(COLUMNS)))
            self._failed = opening.enter_context(AppendedCsv(self.folder / "failed.csv", ["run", "reason"]))
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _check_identity(self) -> None:
        path = self.folder / "collection.json"
        if not path.exists():
            versions = {"meshgym": version("meshgym"), "python": platform.python_version()}
            if self._embedded:
                versions["envoy"] = envoy_version()
            write_json(path, {**self.identity, "versions": versions})
            return
        found = json.loads(path.read_text("utf-8"))
        for name, value in self.identity.items():
            if found.get(name) != value:
                raise TraceError(
                    f"{self.folder} holds a collection with {name} {found.get(name)!r}, not {value!r}; "
                    "choose another folder, or repeat the same arguments to continue it"
                )

    def missing(self) -> list[int]:
        """Return the runs that are neither measured nor given up."""
        done = {int(row["run"]) for file in (self._rows, self._failed) for row in file.read()}
        return [run for run in range(len(self.plan)) if run not in done]

    def add(self, outcome: Outcome, response: Response, attempt: int) -> None:
        """Append one measured run."""
        setting = dict(zip(SETTING_NAMES, self.plan.settings[outcome.run], strict=True))
        values = (self.plan.repeat[outcome.run], outcome.lane, attempt, outcome.run)
        self._rows.append({**setting, **response.to_dict(), **dict(zip(BOOKKEEPING, values, strict=True))})

    def give_up(self, run: int, reason: str) -> None:
        """Append one run that failed every time."""
        self._failed.append({"run": run, "reason": reason})


def collect(
    scenario: Scenario,
    folder: Path,
    *,
    rows: int | None = None,
    seed: int = 0,
    plan: Plan | None = None,
    lanes: int = 1,
    make_mesh: MeshFactory | None = None,
    mesh: Mesh | None = None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Run a plan, or the rest of it, and return the path of ``rows.csv``.

    Args:
        scenario: what is collected.
        folder: a collection begun in it with the same arguments is continued.
        rows: runs in the plan; the scenario's by default.
        seed: seed of the plan.
        plan: a plan to run instead of the one that :func:`make_plan` draws from ``rows`` and ``seed``.
        lanes: settings that are measured at once, 1..64.
        make_mesh: makes a mesh to use instead of the embedded Envoy, one per lane in its own process (picklable, no
            arguments). The process is killed if the collection ends early.
        mesh: a mesh that is already open, to use in this process; closing it is up to the caller.
        progress: called after every run.

    Raises:
        FolderError, TraceError: see :class:`Collection`.
        MeshGymError: the mesh did not start, or run after run failed; what was collected is kept.
    """
    most = MOST_LANES if mesh is None else 1
    if not 1 <= lanes <= most:
        raise InvalidValueError("lanes", lanes, f"a whole number 1..{most}", "" if most > 1 else "There is one mesh.")
    if plan is None:
        plan = make_plan(scenario, scenario.rows if rows is None else rows, seed)
    with Collection(folder, scenario, plan, seed, mesh.about() if mesh else None) as collection:
        missing = collection.missing()
        progress(len(plan) - len(missing), len(plan))
        if missing:
            with _pool(scenario, lanes, make_mesh, mesh) as pool:
                _run(collection, pool, missing, progress)
        return folder / "rows.csv"


def _pool(scenario: Scenario, lanes: int, make_mesh: MeshFactory | None, mesh: Mesh | None) -> Pool:
    if mesh is not None:
        return OneLane(mesh)
    if make_mesh is not None:
        return Lanes(make_mesh, lanes)
    return SharedLanes(partial(EmbeddedMesh, scenario, lanes=lanes))


def _run(collection: Collection, pool: Pool, missing: list[int], progress: Progress) -> None:
    """Run what is missing; a failed run goes to the end of the queue until it has no attempts left."""
    total, left = len(collection.plan), len(missing)
    queue = deque(missing)
    attempts: Counter[int] = Counter()
    given_up_in_a_row = 0
    while left:
        while queue and pool.free:
            run = queue.popleft()
            attempts[run] += 1
            pool.submit(run, Setting.from_row(collection.plan.settings[run]))
        for outcome in pool.completed():
            if isinstance(outcome.result, Response):
                collection.add(outcome, outcome.result, attempts[outcome.run])
                given_up_in_a_row = 0
            elif attempts[outcome.run] < _ATTEMPTS:
                queue.append(outcome.run)
                continue
            else:
                collection.give_up(outcome.run, str(outcome.result))
                given_up_in_a_row += 1
            left -= 1
            progress(total - left, total)
            if given_up_in_a_row == _GIVE_UP:
                raise MeshError(f"{_GIVE_UP} runs in a row failed, the last with: {outcome.result}")

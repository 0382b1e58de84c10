"""Collects traces from a mesh into a folder, and goes on where it was stopped.

The folder holds ``collection.json`` (what is collected: scenario, seed, plan hash, profile,
versions), ``rows.csv`` (one line a run, appended in one write) and ``failed.csv`` (runs given up,
with the reason). Whatever is killed, and when: a complete line is kept, an incomplete one is dropped
and its run made again.
"""

from __future__ import annotations

import fcntl
import json
import platform
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from meshgym.errors import FolderError, InvalidValueError, MeshError, TraceError
from meshgym.mesh.base import Mesh
from meshgym.mesh.embedded.mesh import MOST_LANES, EmbeddedMesh
from meshgym.mesh.embedded.process import envoy_version
from meshgym.scenarios import Scenario
from meshgym.traces.appended import AppendedCsv
from meshgym.traces.lanes import Lanes, MeshFactory, OneLane, Outcome, SharedLanes
from meshgym.traces.plan import Plan, make_plan
from meshgym.traces.schema import COLUMNS
from meshgym.types import SETTING_NAMES, Progress, Response, Setting

Pool = Lanes | SharedLanes | OneLane

_ATTEMPTS = 3
#: So many runs given up one after the other mean that the mesh is broken, not the runs.
_GIVE_UP = 5


class Collection:
    """A folder that is being filled with the runs of a plan; a context manager that holds its lock.

    Args:
        folder: made if need be.
        scenario: what is collected.
        plan: what is run.
        seed: of the plan.
        about: which service is measured; None for the embedded mesh's of the scenario.

    Raises (on entering):
        FolderError: the folder cannot be written.
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
            opening.enter_context(lock(self.folder))
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
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps({**self.identity, "versions": versions}, indent=2) + "\n")
            partial.replace(path)
            return
        found = json.loads(path.read_text())
        for name, value in self.identity.items():
            if found.get(name) != value:
                raise TraceError(
                    f"{self.folder} holds a collection with {name} {found.get(name)!r}, not {value!r}; "
                    "choose another folder, or the same arguments to go on"
                )

    def done(self) -> set[int]:
        """Runs that need no further attempt: measured, or given up."""
        return {int(row["run"]) for row in self._rows.read()} | self.given_up()

    def given_up(self) -> set[int]:
        """Runs that failed every time."""
        return {int(row["run"]) for row in self._failed.read()}

    def add(self, outcome: Outcome, response: Response, attempt: int) -> None:
        """Append one measured run."""
        settings = dict(zip(SETTING_NAMES, self.plan.settings[outcome.run], strict=True))
        bookkeeping = {
            "repeat": int(self.plan.repeat[outcome.run]),
            "lane": outcome.lane,
            "attempt": attempt,
            "run": outcome.run,
        }
        self._rows.append({**settings, **response.to_dict(), **bookkeeping})

    def give_up(self, run: int, reason: str) -> None:
        """Append one run that failed every time."""
        self._failed.append({"run": run, "reason": reason})


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Only one collector writes to a folder; the system frees the lock of one that was killed.

    Raises:
        FolderError: the folder cannot be written.
        TraceError: another one is writing to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise FolderError(f"cannot write to {folder} ({error.strerror}); choose another folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            busy = f"another collector is writing to {folder}; wait for it or choose another folder"
            raise TraceError(busy) from None
        yield


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
        folder: where; a folder begun earlier with the same arguments is gone on with.
        rows: runs in the plan; default the scenario's.
        seed: of the plan.
        plan: another one than :func:`make_plan` draws from ``rows`` and ``seed``.
        lanes: settings that are measured side by side, 1..64.
        make_mesh: makes another mesh than the embedded Envoy, one for each lane in a process of its own (picklable,
            no arguments); the process is killed if the collection ends early.
        mesh: a mesh that is open already, to measure with it in this process; it stays the caller's to close.
        progress: called after every run.

    Raises:
        FolderError, TraceError: see :class:`Collection`.
        MeshGymError: the mesh does not come up, or fails run after run; what was collected is kept.
    """
    most = MOST_LANES if mesh is None else 1
    if not 1 <= lanes <= most:
        raise InvalidValueError("lanes", lanes, f"a whole number 1..{most}", "" if most > 1 else "There is one mesh.")
    if plan is None:
        plan = make_plan(scenario, scenario.rows if rows is None else rows, seed)
    with Collection(folder, scenario, plan, seed, mesh.about() if mesh else None) as collection:
        done = collection.done()
        waiting = [run for run in range(len(collection.plan)) if run not in done]
        progress(len(done), len(collection.plan))
        if waiting:
            with _pool(scenario, lanes, make_mesh, mesh) as pool:
                _work_off(collection, pool, waiting, progress)
        return folder / "rows.csv"


def _pool(scenario: Scenario, lanes: int, make_mesh: MeshFactory | None, mesh: Mesh | None) -> Pool:
    if mesh is not None:
        return OneLane(mesh)
    if make_mesh is not None:
        return Lanes(make_mesh, lanes)
    return SharedLanes(partial(EmbeddedMesh, scenario, lanes=lanes))


def _work_off(collection: Collection, pool: Pool, waiting: list[int], progress: Progress) -> None:
    """Run what waits; what fails goes to the end of the queue, until its attempts are used up."""
    total = len(collection.plan)
    left = len(waiting)
    queue = deque(waiting)
    attempts = dict.fromkeys(waiting, 0)
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

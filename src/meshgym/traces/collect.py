"""Collect traces from a mesh into a folder, and continue a collection that was stopped.

The folder holds ``collection.db``; see :mod:`meshgym.traces.collection`. A process may be killed at any time: what it
had measured is kept, and its unfinished runs are repeated.
"""

from __future__ import annotations

import json
import platform
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from meshgym.errors import InvalidValueError, MeshError, MeshGymError, TraceError
from meshgym.files import make_folder, read_bytes, read_json, reading
from meshgym.mesh.base import Mesh
from meshgym.mesh.embedded.mesh import MOST_LANES, EmbeddedMesh
from meshgym.mesh.embedded.process import envoy_identity
from meshgym.scenarios import Control, Scenario
from meshgym.service.own import to_table
from meshgym.traces.collection import FILENAME, Collection, begun, create
from meshgym.traces.lanes import Lanes, MeshFactory, OneLane, Pool, SharedLanes
from meshgym.traces.plan import Plan, make_plan
from meshgym.traces.schema import DATA_VERSION
from meshgym.types import Progress, Response

_ATTEMPTS = 3
Measured = Mapping[int, Mapping[str, float]]
#: If so many runs in a row are given up, the mesh is broken, not the runs.
_GIVE_UP = 5


class Planner(Protocol):
    """A plan that grows as results come in; see :class:`meshgym.adaptive.plan.AdaptivePlan`."""

    @property
    def runs(self) -> int:
        """The most runs there may be."""
        ...

    def about(self) -> Mapping[str, Any]:
        """Return what must be the same when a collection goes on."""
        ...

    def first(self) -> Plan:
        """Return the runs to begin with."""
        ...

    def longer(self, plan: Plan, measured: Measured) -> Plan | None:
        """Return a plan that goes on after what was measured, by run; None if there is nothing more to ask."""
        ...

    def bound(self, plan: Plan, measured: Measured) -> float | None:
        """Return the regret of a decision now; None if there is no such thing."""
        ...


def open_collection(
    folder: Path,
    scenario: Scenario,
    plan: Plan,
    seed: int,
    service: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    planner: Planner | None = None,
    control: Control | None = None,
) -> Collection:
    """Open the collection in a folder, or begin one; a collection of version 0.1 is taken over.

    Args:
        folder: made if it doesn't exist.
        scenario: what is collected.
        plan: what is run.
        seed: seed of the plan.
        service: what is measured; None for the service that the embedded mesh makes of the scenario.
        versions: of what it's measured with; None for the embedded mesh's Envoy. If they have changed since, the
            provenance tells from which run on.
        planner: what makes the plan longer; None if it is whole.
        control: how its runs follow one another; None if each is made afresh.

    Raises:
        FolderError: the folder can't be written.
        TraceError: the folder holds another plan, is in use, or was damaged.
    """
    whole = {"rows": len(plan), "plan_sha256": plan.sha256}
    identity: dict[str, Any] = {
        "scenario": scenario.name,
        "seed": seed,
        **({"adaptive": dict(planner.about())} if planner else whole),
        "service": service if service or not scenario.service else to_table(scenario.service),
        **({"base": dict(scenario.base)} if scenario.base else {}),
        **({"control": asdict(control)} if control else {}),
    }
    ours = {"meshgym": version("meshgym"), "python": platform.python_version(), "data": DATA_VERSION}
    now = {**ours, **(envoy_identity() if versions is None else versions)}
    path = make_folder(folder) / FILENAME
    if not begun(path):
        if (folder / "collection.json").exists():
            _take_over(folder, identity, plan)
        else:
            create(path, {**identity, **whole, "versions": now}, plan)
    collection = Collection(path)
    try:
        _check_identity(folder, collection.about, identity)
        collection.note_versions(now)
    except MeshGymError:
        collection.close()
        raise
    return collection


def _check_identity(folder: Path, found: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    for name, value in json.loads(json.dumps(identity)).items():
        if found.get(name) != value:
            raise TraceError(
                f"{folder} holds a collection with {name} {found.get(name)!r}, not {value!r}; "
                "choose another folder, or repeat the same arguments to continue it"
            )


def _take_over(folder: Path, identity: Mapping[str, Any], plan: Plan) -> None:
    """Make the database of a collection that version 0.1 began; its files are left as they are."""
    from meshgym.traces.store import parse_csv

    with reading(folder, "a collection", TraceError, "Collect into another folder."):
        about = read_json(folder / "collection.json")
        _check_identity(folder, about, identity)
        lines = read_bytes(folder / "rows.csv")
        whole = lines[: lines.rfind(b"\n") + 1]  # a kill may have cut the last line
        rows = parse_csv(whole, str(folder / "rows.csv")).to_dict("records") if whole.count(b"\n") > 1 else []
        for row in rows:
            run = int(row["run"])
            if not np.array_equal(plan.settings[run], [row[name] for name in plan.names]):
                raise TraceError(f"{folder / 'rows.csv'}: run {run} has another setting than the plan")
    create(folder / FILENAME, about, plan, rows)


@dataclass(frozen=True)
class Copies:
    """Copies of one service, to measure in side by side.

    Attributes:
        makers: each makes the mesh of a copy, in a process of its own (picklable).
        service: what they measure, for the provenance.
        versions: of what they measure with.
        run_s: seconds that a run may take.
        end_s: seconds that a copy may take to put things in order.
    """

    makers: Sequence[MeshFactory]
    service: Mapping[str, Any]
    versions: Mapping[str, str]
    run_s: float
    end_s: float


def collect(
    scenario: Scenario,
    folder: Path,
    *,
    rows: int | None = None,
    seed: int = 0,
    plan: Plan | None = None,
    planner: Planner | None = None,
    lanes: int = 1,
    make_mesh: MeshFactory | None = None,
    mesh: Mesh | None = None,
    copies: Copies | None = None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Run a plan, or the rest of it, and return the path of ``collection.db``.

    Runs that were given up before are tried again.

    Args:
        scenario: what is collected.
        folder: a collection begun in it with the same arguments is continued.
        rows: runs in the plan; the scenario's by default.
        seed: seed of the plan.
        plan: a plan to run instead of the one that :func:`make_plan` draws from ``rows`` and ``seed``.
        planner: a plan that grows as results come in, instead of one that is whole.
        lanes: settings that are measured at once, 1..64.
        make_mesh: makes a mesh to use instead of the embedded Envoy, one per lane in its own process (picklable, no
            arguments).
        mesh: a mesh that is already open, to use in this process; closing it is up to the caller.
        copies: the lanes of a cluster, instead of ``lanes``.
        progress: called after every run.

    Raises:
        FolderError, TraceError: see :func:`open_collection`.
        MeshGymError: the mesh did not start, or run after run failed; what was collected is kept.
    """
    most = MOST_LANES if mesh is None else 1
    if not 1 <= lanes <= most:
        raise InvalidValueError("lanes", lanes, f"a whole number 1..{most}", "" if most > 1 else "There is one mesh.")
    if planner is not None:
        plan = planner.first()
    elif plan is None:
        plan = make_plan(scenario, scenario.rows if rows is None else rows, seed)
    about: Mapping[str, Any] | None = None
    versions: Mapping[str, str] | None = None
    if mesh:
        about, versions = mesh.about(), mesh.versions()
    elif copies:
        about, versions = copies.service, copies.versions
    with open_collection(folder, scenario, plan, seed, about, versions, planner) as collection:
        missing, total = collection.missing(), planner.runs if planner else len(collection.plan)
        progress(len(collection.plan) - len(missing), total)
        if missing := missing or _extend(collection, planner):
            with _pool(scenario, lanes, make_mesh, mesh, copies) as pool:
                while missing:
                    _run(collection, scenario, pool, missing, lambda done: progress(done, total))
                    missing = _extend(collection, planner)
        return collection.path


def _extend(collection: Collection, planner: Planner | None) -> list[int]:
    """Let the plan grow; return the runs that were added. At the end, the provenance says what a decision may cost."""
    if planner is None:
        return []
    before, measured = len(collection.plan), collection.measured()
    if longer := planner.longer(collection.plan, measured):
        collection.extend(longer)
    else:
        collection.note({"regret": planner.bound(collection.plan, measured)})
    return list(range(before, len(collection.plan)))


def _pool(
    scenario: Scenario, lanes: int, make_mesh: MeshFactory | None, mesh: Mesh | None, copies: Copies | None
) -> Pool:
    if mesh is not None:
        return OneLane(mesh)
    if copies is not None:
        return Lanes(copies.makers, copies.run_s, copies.end_s)
    if make_mesh is not None:
        return Lanes([make_mesh] * lanes)
    return SharedLanes(partial(EmbeddedMesh, scenario, lanes=lanes))


def _run(
    collection: Collection, scenario: Scenario, pool: Pool, missing: list[int], progress: Callable[[int], None]
) -> None:
    """Run what is missing; a failed run goes to the end of the queue until it has no attempts left."""
    total, left = len(collection.plan), len(missing)
    queue = deque(missing)
    attempts: Counter[int] = Counter()
    given_up_in_a_row = 0
    while left:
        while queue and pool.free:
            run = queue.popleft()
            attempts[run] += 1
            pool.submit(run, scenario.setting_at(collection.plan.settings[run]))
        for outcome in pool.completed():
            if isinstance(outcome.result, Response):
                collection.add(outcome.run, outcome.lane, attempts[outcome.run], outcome.result.to_dict())
                given_up_in_a_row = 0
            elif attempts[outcome.run] < _ATTEMPTS:
                queue.append(outcome.run)
                continue
            else:
                collection.give_up(outcome.run, str(outcome.result))
                given_up_in_a_row += 1
            left -= 1
            progress(total - left)
            if given_up_in_a_row == _GIVE_UP:
                raise MeshError(f"{_GIVE_UP} runs in a row failed, the last with: {outcome.result}")

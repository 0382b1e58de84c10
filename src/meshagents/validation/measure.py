"""Decisions measured on a live mesh: what to run, what is there already, what is still missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from meshagents.validation.decisions import Decisions
from meshgym.errors import TraceError
from meshgym.files import lock
from meshgym.mesh.base import Mesh
from meshgym.scenarios import Scenario
from meshgym.traces.plan import Plan
from meshgym.traces.store import check_traces
from meshgym.types import RESPONSE_NAMES, SETTING_NAMES, Progress

#: ``bar(title, unit)``: a context manager that gives a ``Progress``.
Bar = Callable[[str, str], AbstractContextManager[Progress]]
#: Gives a scenario's live mesh, open, or None for embedded ones that :func:`measure` is to start itself.
OpenMesh = Callable[[Scenario], AbstractContextManager[Mesh | None]]

_RUN = [*SETTING_NAMES, "repeat"]


def no_bar(title: str, unit: str) -> AbstractContextManager[Progress]:
    """Shows nothing."""
    return nullcontext(lambda done, total: None)


def embedded(scenario: Scenario) -> AbstractContextManager[Mesh | None]:
    """Leaves it to :func:`measure` to start embedded meshes."""
    return nullcontext()


def measure(
    decisions: Decisions,
    scenario: Scenario,
    folder: Path,
    *,
    repeats: int,
    seed: int,
    lanes: int = 1,
    mesh: Mesh | None = None,
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Run each different setting ``repeats`` times, as far as that has not been done yet.

    What ``folder`` holds of the scenario counts, whichever decisions it was measured for. What was killed, at any
    moment, goes on where it was: each start measures what is missing, as a collection of its own in ``folder``.

    Args:
        decisions: by policy, under the same contexts.
        scenario: of the decisions.
        folder: of this scenario's measurements.
        repeats: runs of each setting.
        seed: of the order.
        lanes: settings that the embedded mesh measures side by side.
        mesh: a live mesh that is open; None for the embedded ones of the scenario.
        progress: called after every run.

    Returns:
        The runs, with the columns of a trace set. Those that failed every time are not among them.

    Raises:
        FolderError, TraceError: a folder that cannot be written or read, or that somebody else measures for.
        MeshGymError: the mesh does not come up, or fails run after run; what was measured is kept.
    """
    from meshgym.traces.collect import collect  # needs packages that the rest does without

    plan = interleave(decisions, repeats, seed)
    busy = TraceError(f"another collector is writing to {folder}; wait for it or choose another folder")
    with lock(folder / "lock", busy):
        left = _missing(plan, read_runs(folder, scenario, mesh))
        there = len(plan) - len(left)
        progress(there, len(plan))
        if len(left):
            collect(
                scenario,
                folder / f"{len(list(folder.glob('*/'))) + 1:03}",
                seed=seed,
                plan=left,
                lanes=lanes,
                mesh=mesh,
                progress=lambda done, total: progress(there + done, there + total),
            )
        return _frame(plan).merge(read_runs(folder, scenario, mesh), on=_RUN)


def interleave(decisions: Decisions, repeats: int, seed: int) -> Plan:
    """Each different setting ``repeats`` times: round after round, context by context, the policies in turn.

    So what the machine does over time falls on all policies alike, and the repeats of a setting lie far apart.
    """
    rng = np.random.default_rng(seed)
    settings = np.stack(list(decisions.values()), axis=1)
    contexts, policies, _ = settings.shape
    rounds = []
    for _ in range(repeats):
        turns = [settings[context][rng.permutation(policies)] for context in rng.permutation(contexts)]
        row = np.concatenate(turns)
        rounds.append(row[np.sort(np.unique(row, axis=0, return_index=True)[1])])
    return Plan(np.concatenate(rounds), np.repeat(np.arange(repeats), len(rounds[0])))


def read_runs(folder: Path, scenario: Scenario, mesh: Mesh | None = None) -> pd.DataFrame:
    """Every complete run of a scenario on a mesh in the collections of a folder.

    Those of another scenario, another mesh, or the embedded one with another service profile are passed over.

    Raises:
        TraceError: a file that was damaged.
    """
    service = mesh.about() if mesh else asdict(scenario.service) if scenario.service else None
    found = [pd.DataFrame(columns=[*SETTING_NAMES, *RESPONSE_NAMES, "repeat"], dtype=float)]
    for card in sorted(folder.glob("*/collection.json")):
        about, path = json.loads(card.read_text()), card.with_name("rows.csv")
        if (about["scenario"], about["service"]) == (scenario.name, json.loads(json.dumps(service))) and path.exists():
            lines = path.read_bytes()
            rows = pd.read_csv(BytesIO(lines[: lines.rfind(b"\n") + 1]))  # without a line cut short by a kill
            found += [] if rows.empty else [check_traces(rows, str(path))]
    return pd.concat(found[1:] or found, ignore_index=True)


def _missing(plan: Plan, runs: pd.DataFrame) -> Plan:
    """The part of a plan that is not among the runs."""
    known = runs[_RUN].drop_duplicates().assign(known=True)
    left = _frame(plan).merge(known, on=_RUN, how="left")["known"].isna().to_numpy()
    return Plan(plan.settings[left], plan.repeat[left])


def _frame(plan: Plan) -> pd.DataFrame:
    return pd.DataFrame(plan.settings, columns=list(SETTING_NAMES)).assign(repeat=plan.repeat.astype(float))

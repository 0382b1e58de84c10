"""Decisions measured on a live mesh: what to run, what is there already, what is still missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from meshagents.validation.decisions import Decisions
from meshgym.errors import InvalidValueError
from meshgym.files import lock
from meshgym.mesh.base import Mesh
from meshgym.scenarios import Scenario
from meshgym.service.own import to_table
from meshgym.traces.collection import FILENAME, begun, read_collection
from meshgym.traces.database import busy
from meshgym.traces.plan import Plan
from meshgym.traces.store import check_traces
from meshgym.types import RESPONSE_NAMES, Progress

#: ``bar(title, unit)``: a context manager that yields a ``Progress``.
Bar = Callable[[str, str], AbstractContextManager[Progress]]
#: Opens a scenario's live mesh, or yields None for embedded ones that :func:`measure` is to start itself.
OpenMesh = Callable[[Scenario], AbstractContextManager[Mesh | None]]


@dataclass(frozen=True)
class Validation:
    """How much to measure.

    Attributes:
        contexts: settings drawn from each scenario, at least 2.
        repeats: runs of each setting, at least 1; the noise is known from 2 on.
        seed: seed of contexts and order.
        lanes: settings that the embedded mesh measures at once.

    Raises:
        InvalidValueError: too few contexts or repeats.
    """

    contexts: int = 25
    repeats: int = 2
    seed: int = 0
    lanes: int = 1

    def __post_init__(self) -> None:
        for name, least in {"contexts": 2, "repeats": 1}.items():
            if getattr(self, name) < least:
                raise InvalidValueError(name, getattr(self, name), f"at least {least}")


def no_bar(title: str, unit: str) -> AbstractContextManager[Progress]:
    """Show nothing."""
    return nullcontext(lambda done, total: None)


def embedded(scenario: Scenario) -> AbstractContextManager[Mesh | None]:
    """Leave it to :func:`measure` to start embedded meshes."""
    return nullcontext()


def measure(
    decisions: Decisions,
    scenario: Scenario,
    folder: Path,
    measuring: Validation,
    mesh: Mesh | None = None,
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Run each different setting as often as wanted, unless that has been done before.

    Every run of the scenario in ``folder`` counts, whichever decisions it was measured for. After a kill, at any
    moment, the next call goes on: each call measures what is missing, as a collection of its own in ``folder``.

    Args:
        decisions: by policy, under the same contexts.
        scenario: the scenario of the decisions.
        folder: holds this scenario's measurements.
        measuring: how much to measure.
        mesh: an open live mesh; None for the embedded ones of the scenario.
        progress: called after every run.

    Returns:
        The runs, with the columns of a trace set, without those that failed every time.

    Raises:
        FolderError, TraceError: the folder can't be written or read, or another process measures for it.
        MeshGymError: the mesh doesn't come up, or fails run after run; what was measured is kept.
    """
    from meshgym.traces.collect import collect  # needs packages that the rest does without

    plan = replace(interleave(decisions, measuring.repeats, measuring.seed), names=scenario.setting_names)
    with lock(folder / "lock", busy(folder)):
        missing = _missing(plan, read_runs(folder, scenario, mesh))
        there = len(plan) - len(missing)
        progress(there, len(plan))
        if len(missing):
            collect(
                scenario,
                folder / f"{len(list(folder.glob('*/'))) + 1:03}",
                seed=measuring.seed,
                plan=missing,
                lanes=measuring.lanes,
                mesh=mesh,
                progress=lambda done, total: progress(there + done, there + total),
            )
        return _frame(plan).merge(read_runs(folder, scenario, mesh), on=[*plan.names, "repeat"])


def interleave(decisions: Decisions, repeats: int, seed: int) -> Plan:
    """Plan each different setting ``repeats`` times: round after round, context by context, the policies in turn.

    So what the machine does over time affects all policies alike, and repeats of a setting lie far apart.
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
    """Return every complete run of a scenario on a mesh in the collections of a folder.

    Runs of another scenario, on another mesh, or on the embedded one with another service profile are left out.

    Raises:
        TraceError: a damaged file.
    """
    service = mesh.about() if mesh else to_table(scenario.service) if scenario.service else None
    wanted = scenario.name, json.loads(json.dumps(service)), scenario.base
    found = [pd.DataFrame(columns=[*scenario.setting_names, *RESPONSE_NAMES, "repeat"], dtype=float)]
    for path in filter(begun, sorted(folder.glob(f"*/{FILENAME}"))):
        about, rows = read_collection(path)
        if (about["scenario"], about["service"], about.get("base", {})) == wanted and rows:
            found.append(check_traces(pd.DataFrame(rows), str(path)))
    return pd.concat(found[1:] or found, ignore_index=True)


def _missing(plan: Plan, runs: pd.DataFrame) -> Plan:
    """Return the part of a plan that isn't among the runs."""
    key = [*plan.names, "repeat"]
    known = runs[key].drop_duplicates().assign(known=True)
    left = _frame(plan).merge(known, on=key, how="left")["known"].isna().to_numpy()
    return Plan(plan.settings[left], plan.repeat[left], plan.names)


def _frame(plan: Plan) -> pd.DataFrame:
    return pd.DataFrame(plan.settings, columns=list(plan.names)).assign(repeat=plan.repeat.astype(float))

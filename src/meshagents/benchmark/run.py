"""Run the benchmark: every method on every task with every seed, in parallel, kept as files and never done twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from meshagents.benchmark.budgets import FAST, SEEDS, VERSION
from meshagents.benchmark.tasks import METHODS, TASKS
from meshagents.experiments.jobs import one_thread, run_all
from meshgym.errors import UnknownNameError
from meshgym.types import Progress


@dataclass(frozen=True)
class Cell:
    """One method on one task with one seed.

    Attributes:
        task, method: names.
        seed: of the method.
        fast: whether it has a tenth of the budget.
    """

    task: str
    method: str
    seed: int
    fast: bool

    @property
    def filename(self) -> str:
        """Name of the file that keeps the score."""
        return f"{self.task}_{self.method.replace(' ', '-')}_{self.seed}.json"

    def identity(self) -> dict[str, Any]:
        """Return all that the score depends on, as plain values."""
        return {"version": VERSION, **vars(self)}


def cells(tasks: Sequence[str] = (), fast: bool = False) -> list[Cell]:
    """Return what there is to do.

    Args:
        tasks: names; none for all.
        fast: one seed and a tenth of the budgets.

    Raises:
        UnknownNameError: no such task.
    """
    for name in tasks:
        if name not in TASKS:
            raise UnknownNameError("task", name, TASKS)
    return [
        Cell(name, method, seed, fast)
        for name in tasks or TASKS
        for method in METHODS[TASKS[name].kind]
        for seed in (SEEDS[:1] if fast else SEEDS)
    ]


def run(
    wanted: Sequence[Cell],
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do what hasn't been done yet, in parallel, and read all scores.

    Args:
        wanted: what there is to do, see :func:`cells`.
        folder: keeps the scores; those of the same version that it holds count.
        n_jobs, backend: see :func:`meshagents.experiments.jobs.run_all`.
        progress: called after each cell.

    Returns:
        One row per cell: ``task``, ``method``, ``seed``, ``score``, and ``curve``, the score after each run where each
        counts, else empty.

    Raises:
        FolderError: ``folder`` can't be written.
        MissingDependencyError: a method's package isn't installed, or the backend's.
        UnknownNameError: no such backend.
    """
    scores = run_all(wanted, play, folder, n_jobs, backend, progress)
    curves = [score if isinstance(score, list) else [] for score in scores]
    last = [score[-1] if isinstance(score, list) else score for score in scores]
    rows = [[cell.task, cell.method, cell.seed] for cell in wanted]
    frame = pd.DataFrame(rows, columns=["task", "method", "seed"])
    return frame.assign(score=last, curve=pd.Series(curves, dtype=object))


def play(cell: Cell) -> float | list[float]:
    """Return the score of a cell, or its scores after each run; the same each time."""
    task = TASKS[cell.task]
    with one_thread():
        return METHODS[task.kind][cell.method](task, cell.seed, FAST if cell.fast else 1)

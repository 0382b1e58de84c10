"""Table 5: every configuration on every scenario, alone and together, over several seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from meshagents.experiments import comparisons, figure7
from meshagents.experiments.jobs import Job, run_jobs
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.statistics import (
    NO_INTERVAL,
    aggregate_interval,
    interquartile_mean,
    mean_interval,
    optimality_gap,
)
from meshagents.training.configurations import CONFIGURATIONS, label
from meshagents.training.tasks import Task
from meshagents.validation.validate import Validated, summary
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.scenarios import SCENARIO_NAMES
from meshgym.types import Progress

#: The paper's simulated ratios, S1..S5.
PAPER: dict[str, tuple[float, ...]] = {
    "Call": (1.03, 2.71, 1.75, 2.05, 1.31),
    "Thread": (2.21, 1.04, 1.18, 1.16, 1.02),
    "Thread&Call": (2.26, 3.45, 1.84, 2.07, 1.31),
    "Thread-Call": (2.24, 3.39, 1.96, 2.14, 1.32),
    "Call-Thread": (2.22, 3.44, 1.79, 2.11, 1.33),
    "Call*5": (1.01, 2.96, 1.77, 2.05, 1.33),
    "Thread*5": (2.23, 1.15, 1.13, 1.18, 1.01),
    "Thread&Call*5": (2.26, 4.12, 1.84, 2.11, 1.32),
    "Thread-Call*5": (2.22, 3.53, 1.94, 2.09, 1.34),
    "Call-Thread*5": (2.28, 3.50, 1.99, 2.11, 1.33),
}
#: The paper's ratios measured on a mesh.
PAPER_VAL: dict[str, tuple[float, ...]] = {
    "Call": (1.01, 1.77, 1.31, 1.81, 1.29),
    "Thread": (1.63, 0.99, 0.98, 1.00, 0.93),
    "Thread&Call": (2.15, 2.80, 1.44, 2.65, 1.45),
    "Thread-Call": (2.36, 2.57, 1.32, 3.07, 1.20),
    "Call-Thread": (2.11, 3.00, 1.62, 2.52, 1.33),
    "Call*5": (1.00, 2.30, 1.43, 2.87, 1.30),
    "Thread*5": (1.83, 1.28, 1.06, 1.03, 1.16),
    "Thread&Call*5": (2.35, 2.92, 1.29, 2.83, 2.05),
    "Thread-Call*5": (1.51, 2.52, 2.21, 3.18, 1.44),
    "Call-Thread*5": (2.19, 2.33, 2.40, 2.16, 1.44),
}
#: Share of the oracle's reward that a cell should reach.
GOAL = 0.99


@dataclass(frozen=True)
class Table5:
    """What to train.

    Attributes:
        tasks: one per column; the ``*n`` rows train on all of them together.
        seeds: trainings per cell (paper: 3).
        hyperparameters: hyperparameters of the learners.
        rows: the rows wanted, such as ``"Call"`` and ``"Call*5"``; empty for all.
        columns: scenarios of the columns wanted; empty for all.

    Raises:
        InvalidValueError: no tasks or no seeds.
        UnknownNameError: a row or column that these tasks don't have.
    """

    tasks: tuple[Task, ...] = tuple(Task(name) for name in SCENARIO_NAMES)
    seeds: int = 3
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InvalidValueError("tasks", self.tasks, "at least one")
        if self.seeds < 1:
            raise InvalidValueError("seeds", self.seeds, "a whole number, at least 1")
        rows = {label(job.configuration, len(job.tasks)) for job in self._all_jobs()}
        for kind, wanted, known in (
            ("row", self.rows, rows),
            ("column", self.columns, {task.name for task in self.tasks}),
        ):
            for name in wanted:
                if name not in known:
                    raise UnknownNameError(kind, name, known)

    def wants(self, configuration: str, services: int, scenario: str) -> bool:
        """Return whether to show a cell."""
        row = label(configuration, services)
        return (not self.rows or row in self.rows) and (not self.columns or scenario in self.columns)

    def jobs(self) -> list[Job]:
        """Return the trainings of the cells to show."""
        return [
            job
            for job in self._all_jobs()
            if any(self.wants(job.configuration, len(job.tasks), task.name) for task in job.tasks)
        ]

    def _all_jobs(self) -> list[Job]:
        """Return all trainings, the longest first, so that no core waits at the end."""
        together = [self.tasks] if len(self.tasks) > 1 else []
        return [
            Job(configuration.name, group, seed, self.hyperparameters)
            for group in [*together, *((task,) for task in dict.fromkeys(self.tasks))]
            for configuration in reversed(CONFIGURATIONS)
            for seed in range(self.seeds)
        ]


def run(
    table: Table5,
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do the trainings that ``folder`` doesn't hold yet; see :func:`meshagents.experiments.jobs.run_jobs`."""
    frame = run_jobs(table.jobs(), folder, n_jobs, backend, progress)
    cells = frame[["configuration", "services", "scenario"]].itertuples(index=False)
    return in_order(frame[[table.wants(*cell) for cell in cells]])


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort rows as in the paper's table: services alone before those together, then by configuration."""
    names = [configuration.name for configuration in CONFIGURATIONS]
    keys = {"services": frame["services"] > 1, "configuration": frame["configuration"].map(names.index)}
    order = pd.DataFrame(keys).sort_values(["services", "configuration"], kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def score(frame: pd.DataFrame, validated: Sequence[Validated] = ()) -> pd.DataFrame:
    """Return the table's cells, row by row: means over seeds, with 95 % intervals.

    Args:
        frame: what :func:`run` returned.
        validated: what :func:`meshagents.experiments.table5_live.run` returned.

    Returns:
        One row per ``configuration``, number of ``services`` and ``scenario``:

        - ``paper``, ``paper_val``: the paper's ratios, simulated and measured; NaN if it has none.
        - ``paper_ratio``: the paper's metric, of the agent as it explores; ``Interval``.
        - ``ratio``: the greedy policy's reward over random's, on the grid; ``Interval``.
        - ``share``: the greedy policy's share of the oracle's reward; ``Interval``.
        - ``fixed_share``: the best fixed action's share of the oracle's reward.
        - ``ceiling``: the oracle's reward over random's.
        - ``seeds``: number of seeds.
        - ``val``: the measured ratio over random's of the best epochs' decisions, ``Interval`` over contexts; NaN if
          nothing was measured.
        - ``val_sim``: the simulated ratio of the same decisions, ``Interval``.
    """
    measured = {(one.scenario, policy): row for one in validated for policy, row in summary(one.compared).iterrows()}
    nothing = {"live_ratio": NO_INTERVAL, "sim_ratio": NO_INTERVAL}
    cells = []
    groups: Any = frame.groupby(_CELL, sort=False)
    for (configuration, services, scenario), part in groups:
        row = label(configuration, services)
        val = measured.get((scenario, row), nothing)
        cells.append(
            {
                "configuration": configuration,
                "services": services,
                "scenario": scenario,
                "paper": _of_paper(PAPER, row, scenario),
                "paper_val": _of_paper(PAPER_VAL, row, scenario),
                "paper_ratio": mean_interval(part["paper_ratio"]),
                "ratio": mean_interval(part["agent"] / part["random"]),
                "share": mean_interval(part["agent"] / part["oracle"]),
                "fixed_share": float((part["fixed"] / part["oracle"]).mean()),
                "ceiling": float((part["oracle"] / part["random"]).mean()),
                "seeds": len(part),
                "val": val["live_ratio"],
                "val_sim": val["sim_ratio"],
            }
        )
    return in_order(pd.DataFrame(cells))


_CELL = ["configuration", "services", "scenario"]


def _of_paper(ratios: Mapping[str, Sequence[float]], row: str, scenario: str) -> float:
    known = row in ratios and scenario in SCENARIO_NAMES
    return ratios[row][SCENARIO_NAMES.index(scenario)] if known else math.nan


def aggregate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each row's share of the oracle's reward over all scenarios and seeds (Agarwal et al. 2021).

    Returns:
        One row per ``configuration`` and number of ``services``: ``iqm``, the interquartile mean, and
        ``optimality_gap``, each with its 95 % ``Interval``.
    """
    rows: list[dict[str, Any]] = []
    for (configuration, services), part in frame.groupby(["configuration", "services"], sort=False):
        shares = part.assign(share=part["agent"] / part["oracle"])
        scores = shares.pivot_table(index="seed", columns=["scenario", "task"], values="share")
        found = {"iqm": interquartile_mean, "optimality_gap": optimality_gap}
        intervals = {name: aggregate_interval(scores, statistic) for name, statistic in found.items()}
        rows.append({"configuration": configuration, "services": services, **intervals})
    return in_order(pd.DataFrame(rows))


def shortfalls(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells below :data:`GOAL`, or not above a best fixed action that leaves 1 % or more to gain.

    Returns:
        The cells of :func:`score`, and ``below_goal`` and ``below_fixed``, of which one at least is true.
    """
    share = cells["share"].map(lambda interval: interval.estimate)
    below_goal = share < GOAL
    below_fixed = (cells["fixed_share"] <= GOAL) & (share <= cells["fixed_share"])
    return cells.assign(below_goal=below_goal, below_fixed=below_fixed)[below_goal | below_fixed]


def tables(frame: pd.DataFrame, validated: Sequence[Validated] = ()) -> dict[str, pd.DataFrame]:
    """Return everything that Table 5 says, by the name of its file: cells, aggregates, claims and Figure 7."""
    return {
        "table5": score(frame, validated),
        "aggregate": aggregate(frame),
        "claims": comparisons.score(frame),
        "figure7": figure7.score(frame),
    }

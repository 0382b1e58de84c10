"""Table 5: every configuration on every scenario, alone and together, with seeds and yardsticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from meshagents.experiments.jobs import Job, run_jobs
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.statistics import NO_INTERVAL, Interval, mean_interval
from meshagents.training.configurations import CONFIGURATIONS
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
#: Share of the oracle's reward a cell should reach.
GOAL = 0.99


@dataclass(frozen=True)
class Table5:
    """What to run.

    Attributes:
        services: scenarios and simulators, a column each; the ``*n`` rows train on all of them together.
        seeds: how many repeats of each cell (paper: 3).
        hyperparameters: of the learners.
        rows: labels of the rows wanted, such as ``"Call"`` and ``"Call*5"``; none for all of them.
        columns: scenarios of the columns wanted; none for all of them.

    Raises:
        InvalidValueError: no services or no seeds.
        UnknownNameError: a row or column that these services do not have.
    """

    services: tuple[Task, ...] = tuple(Task(name) for name in SCENARIO_NAMES)
    seeds: int = 3
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.services:
            raise InvalidValueError("services", self.services, "at least one")
        if self.seeds < 1:
            raise InvalidValueError("seeds", self.seeds, "a whole number, at least 1")
        known = {"row": {job.label for job in self._all_jobs()}, "column": {service.name for service in self.services}}
        for what, chosen in {"row": self.rows, "column": self.columns}.items():
            for name in chosen:
                if name not in known[what]:
                    raise UnknownNameError(what, name, known[what])

    def wanted(self, label: str, scenario: str) -> bool:
        """Whether a cell is to be shown."""
        return (not self.rows or label in self.rows) and (not self.columns or scenario in self.columns)

    def jobs(self) -> list[Job]:
        """The runs with a cell that is wanted."""
        return [
            job for job in self._all_jobs() if any(self.wanted(job.label, service.name) for service in job.services)
        ]

    def _all_jobs(self) -> list[Job]:
        """All runs, the longest first so that no core waits at the end."""
        together = [self.services] if len(self.services) > 1 else []
        groups = [*together, *((service,) for service in dict.fromkeys(self.services))]
        names = [configuration.name for configuration in reversed(CONFIGURATIONS)]
        return [
            Job(name, group, seed, self.hyperparameters)
            for group in groups
            for name in names
            for seed in range(self.seeds)
        ]


def run(
    settings: Table5,
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do the runs that are not yet in ``folder``; see :func:`meshagents.experiments.jobs.run_jobs`."""
    frame = run_jobs(settings.jobs(), folder, n_jobs, backend, progress)
    cells = zip(frame["label"], frame["scenario"], strict=True)
    return frame[[settings.wanted(*cell) for cell in cells]].reset_index(drop=True)


@dataclass(frozen=True)
class Cell:
    """One cell of the table; means over seeds, with 95 % intervals.

    Attributes:
        label: row of Table 5.
        scenario: column.
        paper, paper_val: the paper's ratios, simulated and measured; NaN where it has none.
        paper_ratio: the paper's metric, of the agent as it explores.
        ratio: the greedy policy's reward over random's, on the grid.
        share: the greedy policy's share of the oracle's reward.
        fixed_share: the best fixed action's share of the oracle's reward.
        ceiling: the oracle's reward over random's.
        seeds: how many.
        val: the measured ratio over random's of the best epochs' decisions, with its interval over contexts; NaN
            where nothing was measured.
        val_sim: the simulated ratio of the same decisions.
    """

    label: str
    scenario: str
    paper: float
    paper_val: float
    paper_ratio: Interval
    ratio: Interval
    share: Interval
    fixed_share: float
    ceiling: float
    seeds: int
    val: Interval = NO_INTERVAL
    val_sim: Interval = NO_INTERVAL


def score(frame: pd.DataFrame, validated: Sequence[Validated] = ()) -> list[Cell]:
    """The table's cells, row by row.

    Args:
        frame: what :func:`run` returned.
        validated: what :func:`meshagents.experiments.table5_live.run` returned.
    """
    measured = {
        (str(policy), one.scenario): {"val": ratios["live_ratio"], "val_sim": ratios["sim_ratio"]}
        for one in validated
        for policy, ratios in summary(one.replayed).iterrows()
    }
    cells = [
        Cell(
            label=str(label),
            scenario=str(scenario),
            paper=_of_paper(PAPER, str(label), str(scenario)),
            paper_val=_of_paper(PAPER_VAL, str(label), str(scenario)),
            paper_ratio=mean_interval(runs["paper_ratio"]),
            ratio=mean_interval(runs["agent"] / runs["random"]),
            share=mean_interval(runs["agent"] / runs["oracle"]),
            fixed_share=float((runs["fixed"] / runs["oracle"]).mean()),
            ceiling=float((runs["oracle"] / runs["random"]).mean()),
            seeds=len(runs),
            **measured.get((str(label), str(scenario)), {}),
        )
        for (label, scenario), runs in frame.groupby(["label", "scenario"], sort=False)
    ]
    return sorted(cells, key=lambda cell: place(cell.label))


def place(label: str) -> tuple[bool, int]:
    """Where a row stands, as in the paper's table: services alone before those together, then by configuration."""
    name, together, _ = label.partition("*")
    return bool(together), [configuration.name for configuration in CONFIGURATIONS].index(name)


def to_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """One row a cell, intervals spread over three columns: for a CSV file."""
    return pd.json_normalize([asdict(cell) for cell in cells], sep="_")


def _of_paper(ratios: Mapping[str, Sequence[float]], label: str, scenario: str) -> float:
    if label in ratios and scenario in SCENARIO_NAMES:
        return ratios[label][SCENARIO_NAMES.index(scenario)]
    return math.nan


def shortfalls(cells: Sequence[Cell]) -> list[str]:
    """The cells that fall short of the goal, or of a fixed action that leaves 1 % or more to gain, in words."""
    lines = []
    for cell in cells:
        if cell.share.estimate < GOAL:
            lines.append(f"{cell.label}, {cell.scenario}: {cell.share.estimate:.2%} of the oracle")
        if cell.fixed_share <= GOAL and cell.share.estimate <= cell.fixed_share:
            lines.append(f"{cell.label}, {cell.scenario}: not above the best fixed action ({cell.fixed_share:.2%})")
    return lines


def markdown(cells: Sequence[Cell]) -> str:
    """Tables: ratios beside the paper's, simulated and, where there are any, measured; shares; yardsticks."""
    ratios = _grid(cells, lambda cell: _pm(cell.paper_ratio, 2) + _in_brackets(cell.paper))
    shares = _grid(cells, lambda cell: _pm(cell.share, 1, percent=True))
    yardsticks = _grid(cells, lambda cell: f"{cell.fixed_share:.1%}, {cell.ceiling:.2f}")
    measured = []
    if not all(math.isnan(cell.val.estimate) for cell in cells):
        measured = [
            "Val: reward over random's, measured, with its 95 % interval; simulated for the same decisions; in "
            "brackets the paper's, measured and simulated",
            _grid(
                cells, lambda cell: f"{cell.val}; {cell.val_sim.estimate:.2f}{_in_brackets(cell.paper_val, cell.paper)}"
            ),
        ]
    return "\n\n".join(
        [
            "Reward over random's, rolling mean over 25 epochs, best of the last 25; the paper's in brackets",
            ratios,
            *measured,
            "Greedy policy, share of the oracle's reward",
            shares,
            "Best fixed action's share of the oracle's reward; the oracle's ratio over random",
            yardsticks,
        ]
    )


def _grid(cells: Sequence[Cell], text: Callable[[Cell], str]) -> str:
    """A Markdown table with a row a configuration and a column a scenario."""
    texts = {(cell.label, cell.scenario): text(cell) for cell in cells}
    scenarios = list(dict.fromkeys(cell.scenario for cell in cells))
    labels = dict.fromkeys(cell.label for cell in cells)
    lines = [["", *scenarios], ["---"] * (len(scenarios) + 1)]
    lines += [[label, *(texts.get((label, one), "") for one in scenarios)] for label in labels]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _in_brackets(*of_paper: float) -> str:
    """The paper's figures; nothing where it has none."""
    return "" if math.isnan(of_paper[0]) else f" ({'; '.join(f'{value:.2f}' for value in of_paper)})"


def _pm(interval: Interval, digits: int, percent: bool = False) -> str:
    """An estimate and the half width of its interval."""
    kind = "%" if percent else "f"
    half = interval.high - interval.estimate
    return f"{interval.estimate:.{digits}{kind}}" + (f" ± {half:.{digits}{kind}}" if np.isfinite(half) else "")

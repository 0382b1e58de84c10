"""Table 5: every configuration on every scenario, alone and together, with seeds and yardsticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from meshagents.config import Config
from meshagents.configurations import CONFIGURATIONS
from meshagents.experiments.jobs import Job, Progress, run_jobs
from meshagents.runs import Service
from meshagents.statistics import Interval, mean_interval
from meshgym.errors import InvalidValueError
from meshgym.scenarios import SCENARIO_NAMES

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
#: Share of the oracle's reward a cell should reach.
GOAL = 0.99


@dataclass(frozen=True)
class Table5:
    """What to run.

    Attributes:
        services: scenarios and simulators, a column each; the ``*n`` rows train on all of them together.
        seeds: how many repeats of each cell (paper: 3).
        config: of the learners.

    Raises:
        InvalidValueError: no services or no seeds.
    """

    services: tuple[Service, ...] = tuple(Service(name) for name in SCENARIO_NAMES)
    seeds: int = 3
    config: Config = field(default_factory=Config)

    def __post_init__(self) -> None:
        if not self.services:
            raise InvalidValueError("services", self.services, "at least one")
        if self.seeds < 1:
            raise InvalidValueError("seeds", self.seeds, "a whole number, at least 1")

    def jobs(self) -> list[Job]:
        """All runs, the longest first so that no core waits at the end."""
        together = [self.services] if len(self.services) > 1 else []
        groups = [*together, *((service,) for service in dict.fromkeys(self.services))]
        names = [configuration.name for configuration in reversed(CONFIGURATIONS)]
        return [Job(name, group, seed, self.config) for group in groups for name in names for seed in range(self.seeds)]


def run(
    settings: Table5,
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do all runs that are not yet in ``folder``, see :func:`meshagents.experiments.jobs.run_jobs`."""
    return run_jobs(settings.jobs(), folder, n_jobs, backend, progress)


@dataclass(frozen=True)
class Cell:
    """One cell of the table; means over seeds, with 95 % intervals.

    Attributes:
        label: row of Table 5.
        scenario: column.
        paper: the paper's ratio; NaN where it has none.
        paper_ratio: the paper's metric, of the agent as it explores.
        ratio: the greedy policy's reward over random's, on the grid.
        share: the greedy policy's share of the oracle's reward.
        fixed_share: the best fixed action's share of the oracle's reward.
        ceiling: the oracle's reward over random's.
        seeds: how many.
    """

    label: str
    scenario: str
    paper: float
    paper_ratio: Interval
    ratio: Interval
    share: Interval
    fixed_share: float
    ceiling: float
    seeds: int


def score(frame: pd.DataFrame) -> list[Cell]:
    """The table's cells, row by row, of what :func:`run` returned."""
    order = {label: number for number, label in enumerate(PAPER)}
    cells = [
        Cell(
            label=str(label),
            scenario=str(scenario),
            paper=_paper_ratio(str(label), str(scenario)),
            paper_ratio=mean_interval(runs["paper_ratio"]),
            ratio=mean_interval(runs["agent"] / runs["random"]),
            share=mean_interval(runs["agent"] / runs["oracle"]),
            fixed_share=float((runs["fixed"] / runs["oracle"]).mean()),
            ceiling=float((runs["oracle"] / runs["random"]).mean()),
            seeds=len(runs),
        )
        for (label, scenario), runs in frame.groupby(["label", "scenario"], sort=False)
    ]
    return sorted(cells, key=lambda cell: order.get(cell.label, len(order)))


def to_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """One row a cell, intervals spread over three columns: for a CSV file."""
    return pd.json_normalize([asdict(cell) for cell in cells], sep="_")


def _paper_ratio(label: str, scenario: str) -> float:
    if label in PAPER and scenario in SCENARIO_NAMES:
        return PAPER[label][SCENARIO_NAMES.index(scenario)]
    return float("nan")


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
    """Three tables: the paper's ratio beside the paper's figure, the share of the oracle, and the yardsticks."""
    ratios = _grid(cells, lambda cell: f"{_pm(cell.paper_ratio, 2)} ({cell.paper:.2f})")
    shares = _grid(cells, lambda cell: _pm(cell.share, 1, percent=True))
    yardsticks = _grid(cells, lambda cell: f"{cell.fixed_share:.1%}, {cell.ceiling:.2f}")
    return "\n\n".join(
        [
            "Reward over random's, rolling mean over 25 epochs, best of the last 25; the paper's in brackets",
            ratios,
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


def _pm(interval: Interval, digits: int, percent: bool = False) -> str:
    """An estimate and the half width of its interval."""
    kind = "%" if percent else "f"
    half = interval.high - interval.estimate
    return f"{interval.estimate:.{digits}{kind}}" + (f" ± {half:.{digits}{kind}}" if np.isfinite(half) else "")

"""Table 5: every configuration on every scenario, alone and together, with seeds and yardsticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from meshagents.experiments import comparisons, figure7
from meshagents.experiments.jobs import CELL, ROW, Job, groups, label, run_jobs
from meshagents.experiments.outsiders import Outsider
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.outside.judged import Decides
from meshagents.statistics import (
    NO_INTERVAL,
    aggregate_interval,
    interquartile_mean,
    mean_interval,
    optimality_gap,
    spread,
)
from meshagents.training.configurations import CONFIGURATIONS, load_configuration
from meshagents.training.tasks import Task
from meshagents.validation.validate import Validated, summary
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.scenarios import SCENARIO_NAMES, Scenario
from meshgym.types import Progress

#: The paper's ratios of S1..S5, simulated and measured on a mesh.
PAPER: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "Call": ((1.03, 2.71, 1.75, 2.05, 1.31), (1.01, 1.77, 1.31, 1.81, 1.29)),
    "Thread": ((2.21, 1.04, 1.18, 1.16, 1.02), (1.63, 0.99, 0.98, 1.00, 0.93)),
    "Thread&Call": ((2.26, 3.45, 1.84, 2.07, 1.31), (2.15, 2.80, 1.44, 2.65, 1.45)),
    "Thread-Call": ((2.24, 3.39, 1.96, 2.14, 1.32), (2.36, 2.57, 1.32, 3.07, 1.20)),
    "Call-Thread": ((2.22, 3.44, 1.79, 2.11, 1.33), (2.11, 3.00, 1.62, 2.52, 1.33)),
    "Call*5": ((1.01, 2.96, 1.77, 2.05, 1.33), (1.00, 2.30, 1.43, 2.87, 1.30)),
    "Thread*5": ((2.23, 1.15, 1.13, 1.18, 1.01), (1.83, 1.28, 1.06, 1.03, 1.16)),
    "Thread&Call*5": ((2.26, 4.12, 1.84, 2.11, 1.32), (2.35, 2.92, 1.29, 2.83, 2.05)),
    "Thread-Call*5": ((2.22, 3.53, 1.94, 2.09, 1.34), (1.51, 2.52, 2.21, 3.18, 1.44)),
    "Call-Thread*5": ((2.28, 3.50, 1.99, 2.11, 1.33), (2.19, 2.33, 2.40, 2.16, 1.44)),
}
#: Share of the oracle's reward a cell should reach.
GOAL = 0.99


@dataclass(frozen=True)
class Table5:
    """What to train.

    Attributes:
        tasks: scenarios and simulators, a column each; the ``*n`` rows train on all of them together.
        seeds: repeats of each cell (paper: 3).
        hyperparameters: of the learners.
        rows: labels of the rows wanted, such as ``"Call"`` and ``"Call*5"``; none for all of them.
        columns: scenarios of the columns wanted; none for all of them.
        outsiders: agents from outside, a row each.

    Raises:
        InvalidValueError: no tasks or no seeds.
        UnknownNameError: a row or column that these tasks don't have.
    """

    tasks: tuple[Task, ...] = tuple(Task(name) for name in SCENARIO_NAMES)
    seeds: int = 3
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    outsiders: tuple[Outsider, ...] = ()

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InvalidValueError("tasks", self.tasks, "at least one")
        if self.seeds < 1:
            raise InvalidValueError("seeds", self.seeds, "a whole number, at least 1")
        rows = [job.label for job in self._all_jobs()] + [outsider.name for outsider in self.outsiders]
        known = {"row": dict.fromkeys(rows), "column": {task.name for task in self.tasks}}
        for what, chosen in {"row": self.rows, "column": self.columns}.items():
            for name in chosen:
                if name not in known[what]:
                    raise UnknownNameError(what, name, known[what])

    def wanted(self, row: str, scenario: str) -> bool:
        """Return whether to show a cell."""
        return (not self.rows or row in self.rows) and (not self.columns or scenario in self.columns)

    def jobs(self) -> list[Job]:
        """Return the trainings with a cell that is wanted."""
        return [job for job in self._all_jobs() if any(self.wanted(job.label, task.name) for task in job.tasks)]

    def control(self, name: str, scenario: Scenario) -> str:
        """Return what a configuration or an agent from outside controls in a scenario."""
        for outsider in self.outsiders:
            if outsider.name == name:
                return Decides(name, outsider.decides).control(scenario)
        return load_configuration(name).control(scenario)

    def _all_jobs(self) -> list[Job]:
        """Return all trainings, the longest first so that no core waits at the end."""
        together = [self.tasks] if len(self.tasks) > 1 else []
        return [
            Job(configuration.name, group, seed, self.hyperparameters)
            for group in [*together, *((task,) for task in dict.fromkeys(self.tasks))]
            for configuration in reversed(CONFIGURATIONS)
            for seed in range(self.seeds)
        ]


def run(
    experiment: Table5,
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do the trainings that aren't yet in ``folder``, and evaluate agents from outside.

    Arguments, errors and the result are those of :func:`meshagents.experiments.jobs.run_jobs`.

    Raises:
        AgentError: an agent from outside that can't be read, or chooses what there isn't.
    """
    judged = [record for one in experiment.outsiders for record in one.records(experiment.tasks, experiment.seeds)]
    frame = run_jobs(experiment.jobs(), folder, n_jobs, backend, progress)
    frame = pd.concat([frame, pd.DataFrame(judged)], ignore_index=True) if judged else frame
    cells = zip(*(frame[name] for name in CELL), strict=True)
    wanted = [experiment.wanted(label(name, services), scenario) for name, services, scenario in cells]
    return frame[wanted].reset_index(drop=True)


def tables(frame: pd.DataFrame, validated: Sequence[Validated] = ()) -> dict[str, pd.DataFrame]:
    """Return everything there is to write and to show; arguments as :func:`score`.

    Returns:
        Tables by name, with an interval as three columns: ``"table5"``, see :func:`score`; ``"aggregate"``, see
        :func:`aggregate`; ``"claims"``, see :func:`meshagents.experiments.comparisons.score`; ``"figure7"``, see
        :func:`meshagents.experiments.figure7.score`.
    """
    trained = frame[frame["configuration"].isin([configuration.name for configuration in CONFIGURATIONS])]
    found = {
        "table5": score(frame, validated),
        "aggregate": aggregate(frame),
        "claims": comparisons.score(trained),
        "figure7": figure7.score(trained),
    }
    return {name: spread(table) for name, table in found.items()}


def score(frame: pd.DataFrame, validated: Sequence[Validated] = ()) -> pd.DataFrame:
    """Return the table's cells.

    Args:
        frame: what :func:`run` returned.
        validated: what :func:`meshagents.experiments.table5_live.run` returned.

    Returns:
        One row per cell, in the paper's order; means over seeds, as 95 % ``Interval`` where marked so:

        - ``configuration``, ``services`` (how many were trained together), ``scenario``, ``seeds``.
        - ``paper``, ``paper_val``: the paper's ratios, simulated and measured; NaN where it has none.
        - ``paper_ratio`` (Interval): the paper's metric, of the agent as it explores.
        - ``ratio`` (Interval): the greedy policy's reward over random's, on the grid.
        - ``share`` (Interval): the greedy policy's share of the oracle's reward.
        - ``fixed_share``: the best fixed action's share of the oracle's reward.
        - ``ceiling``: the oracle's reward over random's.
        - ``below_goal``: whether ``share`` is below :data:`GOAL`.
        - ``below_fixed``: whether ``share`` isn't above ``fixed_share``, which leaves at least ``1 - GOAL`` to gain.
        - ``val`` (Interval): the measured ratio over random's of the best epochs' decisions, over contexts; NaN
          where nothing was measured. ``val_sim`` (Interval): the simulated ratio of the same decisions.
    """
    measured = {one.scenario: summary(one.replayed).to_dict("index") for one in validated}
    rows = []
    for (name, services, scenario), trainings in groups(frame, CELL):
        row = label(name, services)
        share = mean_interval(trainings["agent"] / trainings["oracle"])
        fixed_share = float((trainings["fixed"] / trainings["oracle"]).mean())
        paper, paper_val = (dict(zip(SCENARIO_NAMES, values, strict=False)) for values in PAPER.get(row, ((), ())))
        ratios = measured.get(scenario, {}).get(row, {})
        rows.append(
            {
                "configuration": name,
                "services": services,
                "scenario": scenario,
                "seeds": len(trainings),
                "paper": paper.get(scenario, math.nan),
                "paper_val": paper_val.get(scenario, math.nan),
                "paper_ratio": mean_interval(trainings["paper_ratio"]),
                "ratio": mean_interval(trainings["agent"] / trainings["random"]),
                "share": share,
                "fixed_share": fixed_share,
                "ceiling": float((trainings["oracle"] / trainings["random"]).mean()),
                "below_goal": share.estimate < GOAL,
                "below_fixed": fixed_share <= GOAL and share.estimate <= fixed_share,
                "val": ratios.get("live_ratio", NO_INTERVAL),
                "val_sim": ratios.get("sim_ratio", NO_INTERVAL),
            }
        )
    return in_order(pd.DataFrame(rows))


def in_order(cells: pd.DataFrame) -> pd.DataFrame:
    """Sort rows as in the paper's table: services alone before those together, then by configuration; others last."""
    names = [configuration.name for configuration in CONFIGURATIONS]
    names += [name for name in cells["configuration"].unique() if name not in names]
    keys = pd.DataFrame({"together": cells["services"] > 1, "place": cells["configuration"].map(names.index)})
    return cells.loc[keys.sort_values(["together", "place"], kind="stable").index].reset_index(drop=True)


def aggregate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what rliable recommends to compare learners by, over all scenarios and seeds of a row.

    Args:
        frame: what :func:`run` returned.

    Returns:
        One row per ``configuration`` and ``services``, with 95 % ``Interval`` of the share of the oracle's reward:
        ``interquartile_mean`` and ``optimality_gap`` (how far shares fall short of 1); and ``cpu_s``, the processor
        seconds of training.
    """
    rows = []
    for (name, services), trainings in groups(frame, ROW):
        shares = trainings.assign(share=trainings["agent"] / trainings["oracle"])
        scores = shares.pivot(index="seed", columns=["scenario", "task"], values="share").to_numpy()
        intervals = [aggregate_interval(scores, statistic) for statistic in (interquartile_mean, optimality_gap)]
        rows.append((name, services, *intervals, trainings["cpu_s"].sum()))
    return in_order(pd.DataFrame(rows, columns=[*ROW, "interquartile_mean", "optimality_gap", "cpu_s"]))

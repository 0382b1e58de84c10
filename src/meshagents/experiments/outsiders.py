"""Agents from outside as rows of Table 5: evaluated under the same rules as the project's own, not trained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshagents.experiments.jobs import judged
from meshagents.outside.agent import Function
from meshagents.outside.judged import Decides, Outside
from meshagents.training.configurations import CONFIGURATIONS
from meshagents.training.tasks import Task
from meshagents.training.trained import evaluate_trained
from meshgym.errors import InvalidValueError


@dataclass(frozen=True)
class Outsider:
    """A row of the table.

    Attributes:
        name: of the row.
        source: a function, or a text as for :func:`meshagents.outside.agent.read_function`, in which ``{scenario}`` and
            ``{seed}`` stand for those of a cell.
        decides: what it decides, see :class:`meshagents.outside.judged.Decides`.
        normalised: whether it observes numbers from 0 to 1.

    Raises:
        InvalidValueError: no name, or that of a row there is.
    """

    name: str
    source: str | Function
    decides: str = "both"
    normalised: bool = False

    def __post_init__(self) -> None:
        if not self.name or self.name in [configuration.name for configuration in CONFIGURATIONS]:
            raise InvalidValueError("name of an agent", self.name, "NAME=AGENT, with a name of its own")

    @classmethod
    def parse(cls, text: str, decides: str, normalised: bool) -> Outsider:
        """Read ``NAME=AGENT``."""
        name, _, agent = text.partition("=")
        return cls(name if agent else "", agent or text, decides, normalised)

    def at(self, task: Task, seed: int) -> Outside:
        """Return the agent of a cell and seed."""
        source = self.source
        if isinstance(source, str):
            source = source.replace("{scenario}", task.name).replace("{seed}", str(seed))
        return Outside(source, task, Decides(self.name, self.decides), self.normalised)

    def records(self, tasks: Sequence[Task], seeds: int) -> list[dict[str, Any]]:
        """Return the records of all tasks, as :func:`meshagents.experiments.jobs.run_job` has them, without a training.

        Args:
            tasks: scenarios and simulators.
            seeds: how many; one if the agent is the same for all.
        """
        several = isinstance(self.source, str) and "{seed}" in self.source
        found = (
            _record(self.at(task, seed), seed)
            for task in dict.fromkeys(tasks)
            for seed in range(seeds if several else 1)
        )
        return list(found)


def _record(outside: Outside, seed: int) -> dict[str, Any]:
    task, (evaluation,) = outside.task, evaluate_trained(outside)
    return {
        "configuration": outside.configuration.name,
        "services": 1,
        "scenario": task.name,
        "task": 0,
        "seed": seed,
        "ablation": "",
        "drawn": "",
        "paper_ratio": np.nan,
        **judged(outside.agent, task, outside.configuration, evaluation),
        "cpu_s": 0.0,
        "curve": [],
    }

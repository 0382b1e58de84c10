"""Pairs, and services together: the paper's configurations with two decisions, scored by shares of the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from meshagents.benchmark.budgets import INTERACTIONS
from meshagents.benchmark.kinds import Method
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.policies import FixedAgent
from meshagents.training.configurations import load_configuration
from meshagents.training.evaluation import Evaluation, evaluate
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import evaluate_trained


@dataclass(frozen=True)
class ServicesTask:
    """Choose threads and calls of one service by two agents, or of several services by agents that collaborate.

    Attributes:
        name: of the task.
        scenarios: of the services; each has the whole budget.
    """

    kind = "pairs"
    name: str
    scenarios: tuple[str, ...]

    def score(self, reward: Callable[[Evaluation], float], evaluations: list[Evaluation]) -> float:
        """Return the mean share of the oracle's reward over the services."""
        return float(np.mean([reward(one) / one.oracle for one in evaluations]))


def _trained(task: ServicesTask, configuration: str, seed: int, epochs: int) -> list[Evaluation]:
    tasks = [Task(name) for name in task.scenarios]
    hyperparameters = replace(Hyperparameters(), epochs=epochs)
    return evaluate_trained(train_agent(load_configuration(configuration), tasks, hyperparameters, seed))


def _pair(configuration: str) -> Method:
    def play(task: ServicesTask, seed: int, part: int) -> float:
        epochs = INTERACTIONS // part // Hyperparameters().interactions
        return task.score(lambda one: one.agent, _trained(task, configuration, seed, epochs))

    return play


def _untrained(reward: Callable[[Evaluation], float]) -> Method:
    def play(task: ServicesTask, seed: int, part: int) -> float:
        # An evaluation tells what random and fixed choices get, too; its agent doesn't matter.
        anybody = FixedAgent([0, 0])
        return task.score(reward, [evaluate(anybody, Task(name).grid(), "both") for name in task.scenarios])

    return play


METHODS: dict[str, Method] = {
    "random": _untrained(lambda one: one.random),
    "fixed": _untrained(lambda one: one.fixed),
    "independent pair": _pair("Thread&Call"),
    "dependent pair": _pair("Thread-Call"),
}

"""What all kinds of tasks have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from meshagents.agent import Agent
from meshagents.learners.dqn import DQN
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.spaces import Spaces
from meshagents.training.loop import train

#: From observations, shape (n, inputs), to actions, shape (n,).
Choose = Callable[[Any], Any]
#: ``method(task, seed, part)`` plays with one part in ``part`` of the budget. It returns its score, or, where each run
#: counts, that of its decision after each of them; the last one counts then.
Method = Callable[[Any, int, int], float | list[float]]


class BenchmarkTask(Protocol):
    """A task: its name, and the kind that says which methods play it."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...


def trained_dqn(make_envs: Callable[[int], Any], hyperparameters: Hyperparameters, seed: int) -> Agent:
    """Return the project's DQN after a training.

    Args:
        make_envs: makes so many environments.
        hyperparameters: of the agent and the training.
        seed: of both.
    """
    envs = make_envs(hyperparameters.num_envs)
    agent = DQN(Spaces.of_envs(envs), hyperparameters, seed)
    train(agent, envs)
    return agent.best()

"""A run from beginning to end: a configuration, services and a seed in, a trained and evaluated agent out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

import meshgym  # noqa: F401 (registers the environments)
from meshagents.agent import LearningAgent
from meshagents.errors import AgentError
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.learners.storage import load_agent, save_agent
from meshagents.spaces import Spaces
from meshagents.training.application import Application
from meshagents.training.configurations import Configuration
from meshagents.training.evaluation import Evaluation, RewardGrid, evaluate
from meshagents.training.loop import History, Progress, train
from meshgym.errors import InvalidValueError
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import Simulator, load_simulator, response_table

#: Epochs between two saves of a run that is kept in a file.
SAVE_EVERY = 10


@dataclass(frozen=True)
class Task:
    """A service to train on.

    Attributes:
        scenario: see :func:`meshgym.scenarios.load_scenario`.
        simulator: see :func:`meshgym.simulator.load_simulator`; None for the scenario's bundled one.
    """

    scenario: str | Path | Scenario
    simulator: str | Path | Simulator | None = None

    @property
    def name(self) -> str:
        """The scenario's."""
        return load_scenario(self.scenario).name

    def load_simulator(self) -> Simulator:
        """The simulator; a file is read once in a process, so its response table is filled once, too.

        Raises:
            SimulatorError: missing or damaged.
        """
        if isinstance(self.simulator, Simulator):
            return self.simulator
        return _read(str(self.simulator or self.name))

    def grid(self, reward: str | Reward = "worst_case") -> RewardGrid:
        """Rewards over the scenario's grid, see :meth:`RewardGrid.of_table`."""
        return RewardGrid.of_table(response_table(self.load_simulator(), load_scenario(self.scenario)), reward)


@cache
def _read(simulator: str) -> Simulator:
    return load_simulator(simulator)


def make_environment(
    configuration: Configuration,
    services: Sequence[Task],
    hyperparameters: Hyperparameters,
    reward: str | Reward = "worst_case",
    contexts: str = "uniform",
) -> VectorEnv[Any, Any, Any]:
    """``hyperparameters.num_envs`` environments of one service, or an :class:`Application` of several.

    Raises:
        MeshGymError: an unknown scenario, reward or contexts, no usable simulator.
    """
    batches = [
        gym.make_vec(
            "MeshResilience-v0",
            num_envs=hyperparameters.num_envs,
            scenario=service.scenario,
            simulator=service.load_simulator(),
            control=configuration.control,
            reward=reward,
            contexts=contexts,
        )
        for service in services
    ]
    return batches[0] if len(batches) == 1 else Application(batches)


def make_agent(
    configuration: Configuration, envs: VectorEnv[Any, Any, Any], hyperparameters: Hyperparameters, seed: int
) -> LearningAgent:
    """An untrained agent for these environments.

    Raises:
        AgentError: the environments have another control.
    """
    task = Spaces.of_spaces(envs.single_observation_space, envs.single_action_space)
    return configuration.learner(task, replace(hyperparameters, first=configuration.first), seed)


def train_agent(
    configuration: Configuration,
    services: Sequence[Task],
    hyperparameters: Hyperparameters,
    seed: int,
    *,
    reward: str | Reward = "worst_case",
    contexts: str = "uniform",
    path: Path | None = None,
    progress: Progress | None = None,
) -> tuple[LearningAgent, History]:
    """Train on simulators; with ``path``, go on from what is kept there, and keep it there.

    Args:
        configuration: who decides what.
        services: one, or several that collaborate.
        hyperparameters: of the learner.
        seed: of everything.
        reward, contexts: of the environments, see ``meshgym.envs``.
        path: the agent's file, written every few epochs; None to keep nothing.
        progress: called after each epoch.

    Raises:
        InvalidValueError: the file holds a run with other settings.
        MeshGymError: as the functions above.
    """
    envs = make_environment(configuration, services, hyperparameters, reward, contexts)
    agent, history = make_agent(configuration, envs, hyperparameters, seed), History()
    if path is not None and path.exists():
        kept, history = load_agent(path)
        if not _same_run(kept, agent):
            raise InvalidValueError(
                "agent file", str(path), "one of the same run", "Choose another file, or delete this one."
            )
        agent = kept

    def after_epoch(history: History) -> None:
        if path is not None and (len(history) % SAVE_EVERY == 0 or len(history) == hyperparameters.epochs):
            save_agent(path, agent, history)
        if progress:
            progress(history)

    return agent, train(agent, envs, history, after_epoch)


def _same_run(kept: LearningAgent, new: LearningAgent) -> bool:
    return (kept.hyperparameters, kept.seed) == (new.hyperparameters, new.seed) and _same_task(kept, new)


def _same_task(kept: LearningAgent, new: LearningAgent) -> bool:
    bounds = ("low", "high", "actions")
    return type(kept) is type(new) and all(
        np.array_equal(getattr(kept.task, name), getattr(new.task, name)) for name in bounds
    )


def evaluate_agent(
    agent: LearningAgent,
    configuration: Configuration,
    services: Sequence[Task],
    reward: str | Reward = "worst_case",
) -> list[Evaluation]:
    """The greedy policy on the grid of each service, beside the yardsticks.

    Raises:
        AgentError: the agent was trained for another configuration or for other services.
        MeshGymError: as :func:`make_environment`.
    """
    hyperparameters = replace(agent.hyperparameters, num_envs=1)
    if not _same_task(
        agent, make_agent(configuration, make_environment(configuration, services, hyperparameters), hyperparameters, 0)
    ):
        names = ", ".join(service.name for service in services)
        raise AgentError(
            f"this agent was not trained as {configuration.name} on {names}. Name what it was trained with"
        )
    alone = len(services) == 1
    return [
        evaluate(agent, service.grid(reward), configuration.control, None if alone else i)
        for i, service in enumerate(services)
    ]

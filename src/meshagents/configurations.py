"""The rows of the paper's Table 5: who decides what, and how an agent for it is made and trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

import meshgym  # noqa: F401 (registers the environments)
from meshagents.agent import LearningAgent
from meshagents.application import Application
from meshagents.config import Config
from meshagents.dependent import Dependent
from meshagents.dqn import DQN
from meshagents.independent import Independent
from meshagents.task import Task
from meshgym.errors import UnknownNameError
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator


@dataclass(frozen=True)
class Configuration:
    """Who decides what (paper, Table 3).

    Attributes:
        name: the paper's.
        control: what is decided: ``"threads"``, ``"calls"`` or ``"both"``.
        learner: the kind of agent.
        first: which of a dependent pair acts first, 0 (threads) or 1 (calls).
    """

    name: str
    control: str
    learner: type[LearningAgent]
    first: int = 0


CONFIGURATIONS: tuple[Configuration, ...] = (
    Configuration("Call", "calls", DQN),
    Configuration("Thread", "threads", DQN),
    Configuration("Thread&Call", "both", Independent),
    Configuration("Thread-Call", "both", Dependent, first=0),
    Configuration("Call-Thread", "both", Dependent, first=1),
)


def load_configuration(name: str) -> Configuration:
    """A configuration by the paper's name, in any case.

    Raises:
        UnknownNameError: no such name.
    """
    for configuration in CONFIGURATIONS:
        if configuration.name.lower() == name.lower():
            return configuration
    raise UnknownNameError("configuration", name, [configuration.name for configuration in CONFIGURATIONS])


@dataclass(frozen=True)
class Service:
    """A service to train on.

    Attributes:
        scenario: see :func:`meshgym.scenarios.load_scenario`.
        simulator: see :func:`meshgym.simulator.load_simulator`; None for the scenario's bundled one.
    """

    scenario: str | Path | Scenario
    simulator: str | Path | Simulator | None = None


def make_environment(
    configuration: Configuration,
    services: Sequence[Service],
    config: Config,
    reward: str | Reward = "worst_case",
    contexts: str = "uniform",
) -> VectorEnv[Any, Any, Any]:
    """``config.num_envs`` environments of one service, or an :class:`Application` of several.

    Raises:
        MeshGymError: an unknown scenario, reward or contexts, no usable simulator.
    """
    batches = [
        gym.make_vec(
            "MeshResilience-v0",
            num_envs=config.num_envs,
            scenario=service.scenario,
            simulator=service.simulator,
            control=configuration.control,
            reward=reward,
            contexts=contexts,
        )
        for service in services
    ]
    return batches[0] if len(batches) == 1 else Application(batches)


def make_agent(
    configuration: Configuration, envs: VectorEnv[Any, Any, Any], config: Config, seed: int
) -> LearningAgent:
    """An untrained agent for these environments.

    Raises:
        AgentError: the environments have another control.
    """
    task = Task.of_spaces(envs.single_observation_space, envs.single_action_space)
    return configuration.learner(task, replace(config, first=configuration.first), seed)

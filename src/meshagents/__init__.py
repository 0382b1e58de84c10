"""Agents that find the load that breaks a service in a mesh, on any environment of meshgym.

The names below are the public interface. Each is imported when it is first used: importing the package loads neither
PyTorch nor pandas. Agents need the extra ``agents``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meshgym.errors import MissingDependencyError

if TYPE_CHECKING:
    from meshagents.agent import Agent, Transition
    from meshagents.errors import AgentError
    from meshagents.learners.collaborative import (
        CollaborativeDependentPair,
        CollaborativeDQN,
        CollaborativeIndependentPair,
    )
    from meshagents.learners.dqn import DQN
    from meshagents.learners.hyperparameters import PRESETS, Hyperparameters
    from meshagents.learners.pairs import DependentPair, IndependentPair
    from meshagents.policies import FixedAgent, OracleAgent, RandomAgent
    from meshagents.spaces import Spaces
    from meshagents.training.application import Application
    from meshagents.training.configurations import CONFIGURATIONS, Configuration, load_configuration
    from meshagents.training.evaluation import Evaluation, RewardGrid, evaluate
    from meshagents.training.loop import History, play, train
    from meshagents.training.tasks import Task
    from meshagents.training.train import train_agent
    from meshagents.training.trained import Trained, evaluate_trained, load_trained, save_trained

__all__ = [
    "CONFIGURATIONS",
    "DQN",
    "PRESETS",
    "Agent",
    "AgentError",
    "Application",
    "CollaborativeDQN",
    "CollaborativeDependentPair",
    "CollaborativeIndependentPair",
    "Configuration",
    "DependentPair",
    "Evaluation",
    "FixedAgent",
    "History",
    "Hyperparameters",
    "IndependentPair",
    "OracleAgent",
    "RandomAgent",
    "RewardGrid",
    "Spaces",
    "Task",
    "Trained",
    "Transition",
    "evaluate",
    "evaluate_trained",
    "load_configuration",
    "load_trained",
    "play",
    "save_trained",
    "train",
    "train_agent",
]

_NAMES = {
    "agent": ["Agent", "Transition"],
    "errors": ["AgentError"],
    "learners.collaborative": ["CollaborativeDQN", "CollaborativeDependentPair", "CollaborativeIndependentPair"],
    "learners.dqn": ["DQN"],
    "learners.hyperparameters": ["PRESETS", "Hyperparameters"],
    "learners.pairs": ["DependentPair", "IndependentPair"],
    "policies": ["FixedAgent", "OracleAgent", "RandomAgent"],
    "spaces": ["Spaces"],
    "training.application": ["Application"],
    "training.configurations": ["CONFIGURATIONS", "Configuration", "load_configuration"],
    "training.evaluation": ["Evaluation", "RewardGrid", "evaluate"],
    "training.loop": ["History", "play", "train"],
    "training.tasks": ["Task"],
    "training.train": ["train_agent"],
    "training.trained": ["Trained", "evaluate_trained", "load_trained", "save_trained"],
}
_MODULES = {name: f"meshagents.{module}" for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'meshagents' has no attribute {name!r}")
    try:
        return getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("mesh"):
            raise
        raise MissingDependencyError(str(error.name), f"meshagents.{name}", "agents") from error

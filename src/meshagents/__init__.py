"""Agents that find the load that breaks a service in a mesh: Q-learning on any environment of meshgym."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from meshgym.errors import MissingDependencyError

if TYPE_CHECKING:
    from meshagents.agent import Agent, LearningAgent
    from meshagents.errors import AgentError
    from meshagents.learners.dependent import Dependent
    from meshagents.learners.dqn import DQN
    from meshagents.learners.hyperparameters import PRESETS, Hyperparameters
    from meshagents.learners.independent import Independent
    from meshagents.learners.replay import Transition
    from meshagents.learners.storage import load_agent, save_agent
    from meshagents.policies import FixedAgent, RandomAgent
    from meshagents.spaces import Spaces
    from meshagents.training.application import Application
    from meshagents.training.evaluation import Evaluation, RewardGrid, evaluate
    from meshagents.training.loop import History, play, train

if find_spec("torch") is None:
    raise MissingDependencyError("torch", "meshagents", "agents")

__all__ = [
    "DQN",
    "PRESETS",
    "Agent",
    "AgentError",
    "Application",
    "Dependent",
    "Evaluation",
    "FixedAgent",
    "History",
    "Hyperparameters",
    "Independent",
    "LearningAgent",
    "RandomAgent",
    "RewardGrid",
    "Spaces",
    "Transition",
    "evaluate",
    "load_agent",
    "play",
    "save_agent",
    "train",
]

#: Where each name is; most of these modules import torch.
_ON_FIRST_USE = {
    "Agent": "meshagents.agent",
    "AgentError": "meshagents.errors",
    "Application": "meshagents.training.application",
    "DQN": "meshagents.learners.dqn",
    "Dependent": "meshagents.learners.dependent",
    "Evaluation": "meshagents.training.evaluation",
    "FixedAgent": "meshagents.policies",
    "History": "meshagents.training.loop",
    "Hyperparameters": "meshagents.learners.hyperparameters",
    "Independent": "meshagents.learners.independent",
    "LearningAgent": "meshagents.agent",
    "PRESETS": "meshagents.learners.hyperparameters",
    "RandomAgent": "meshagents.policies",
    "RewardGrid": "meshagents.training.evaluation",
    "Spaces": "meshagents.spaces",
    "Transition": "meshagents.learners.replay",
    "evaluate": "meshagents.training.evaluation",
    "load_agent": "meshagents.learners.storage",
    "play": "meshagents.training.loop",
    "save_agent": "meshagents.learners.storage",
    "train": "meshagents.training.loop",
}


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module 'meshagents' has no attribute {name!r}")

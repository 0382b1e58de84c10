"""Agents that find the load that breaks a service in a mesh: Q-learning on any environment of meshgym."""

from __future__ import annotations

import importlib.util

from meshgym.errors import MissingDependencyError

if importlib.util.find_spec("torch") is None:
    raise MissingDependencyError("torch", "meshagents", "agents")

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

"""Agents that find the load that breaks a service in a mesh: Q-learning on any environment of meshgym."""

from __future__ import annotations

import importlib.util

from meshgym.errors import MissingDependencyError

if importlib.util.find_spec("torch") is None:
    raise MissingDependencyError("torch", "meshagents", "agents")

from meshagents.agent import Agent, LearningAgent
from meshagents.application import Application
from meshagents.baselines import FixedAgent, RandomAgent
from meshagents.config import PRESETS, Config
from meshagents.dependent import Dependent
from meshagents.dqn import DQN
from meshagents.errors import AgentError
from meshagents.evaluation import Evaluation, RewardGrid, evaluate
from meshagents.independent import Independent
from meshagents.replay import Transition
from meshagents.storage import load_agent, save_agent
from meshagents.task import Task
from meshagents.training import History, play, train

__all__ = [
    "DQN",
    "PRESETS",
    "Agent",
    "AgentError",
    "Application",
    "Config",
    "Dependent",
    "Evaluation",
    "FixedAgent",
    "History",
    "Independent",
    "LearningAgent",
    "RandomAgent",
    "RewardGrid",
    "Task",
    "Transition",
    "evaluate",
    "load_agent",
    "play",
    "save_agent",
    "train",
]

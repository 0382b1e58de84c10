"""Agents as files: one ``.npz`` with arrays and JSON, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meshagents.agent import LearningAgent
from meshagents.errors import AgentError
from meshagents.learners.dependent import Dependent
from meshagents.learners.dqn import DQN
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.learners.independent import Independent
from meshagents.learners.qlearner import QLearner
from meshagents.learners.replay import Transition
from meshagents.spaces import Spaces
from meshagents.training.loop import History
from meshgym.files import UNREADABLE, Arrays, read_arrays, write_arrays

#: Version of the file's layout.
SCHEMA = 1
AGENTS: dict[str, type[LearningAgent]] = {"dqn": DQN, "independent": Independent, "dependent": Dependent}
_TASK = ("low", "high", "actions")


def save_agent(path: str | Path, agent: LearningAgent, history: History | None = None) -> Path:
    """Write an agent with all it needs to go on: weights, optimisers, replay, generators, history.

    Args:
        path: of the ``.npz`` file; its folder is made if need be.
        agent: what is kept.
        history: of the epochs it was trained for.

    Raises:
        FolderError: the file cannot be written.
    """
    names = {kind: name for name, kind in AGENTS.items()}
    about = {
        "schema": SCHEMA,
        "agent": names[type(agent)],
        "hyperparameters": agent.hyperparameters.to_dict(),
        "seed": agent.seed,
        "observed": agent.task.observed,
        "rng": agent.rng.bit_generator.state,
        "added": agent.replay.added,
        "newest": agent.replay.newest,
        "rewards": agent.scale.count,
    }
    arrays: Arrays = {"about": np.array(json.dumps(about))}
    arrays |= {f"task.{name}": getattr(agent.task, name) for name in _TASK}
    arrays |= {"scale.mean": agent.scale.mean, "scale.squares": agent.scale.squares}
    arrays |= {f"replay.{i}": column for i, column in enumerate(agent.replay.columns)}
    for i, learner in enumerate(agent.learners):
        arrays |= {f"learner{i}.{name}": tensor.numpy() for name, tensor in _tensors(learner).items()}
    for i, weights in enumerate(agent.best_weights):
        arrays |= {f"best{i}.{name}": tensor.numpy() for name, tensor in weights.items()}
    history = history or History()
    arrays |= {f"history.{name}": np.array(column) for name, column in vars(history).items()}
    return write_arrays(path, arrays)


def load_agent(path: str | Path) -> tuple[LearningAgent, History]:
    """Read what :func:`save_agent` wrote.

    Raises:
        AgentError: no such file, a damaged one, or one of another kind or version.
    """
    try:
        arrays = read_arrays(path)
        about = json.loads(str(arrays["about"]))
        if about["schema"] != SCHEMA:
            raise AgentError(
                f"{path} has layout {about['schema']}, this meshagents reads layout {SCHEMA}. Train it again"
            )
        return _restore(arrays, about)
    except FileNotFoundError:
        raise AgentError(f"there is no agent file {path}. Train one with: meshagents train") from None
    except UNREADABLE as error:
        raise AgentError(f"{path} is no agent file, or a damaged one ({error}). Train it again") from error


def _restore(arrays: Arrays, about: dict[str, Any]) -> tuple[LearningAgent, History]:
    task = Spaces(**{name: arrays[f"task.{name}"] for name in _TASK}, observed=about["observed"])
    agent = AGENTS[about["agent"]](task, Hyperparameters.from_dict(about["hyperparameters"]), about["seed"])
    agent.rng.bit_generator.state = about["rng"]
    agent.replay.added, agent.replay.newest = about["added"], about["newest"]
    agent.replay.columns = [arrays[f"replay.{i}"] for i in range(len(Transition._fields))] if about["added"] else []
    agent.scale.count = about["rewards"]
    agent.scale.mean, agent.scale.squares = arrays["scale.mean"], arrays["scale.squares"]
    tensors = {
        name: torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(("learner", "best"))
    }
    for i, learner in enumerate(agent.learners):
        _put(learner, _part(tensors, f"learner{i}."))
    best = [_part(tensors, f"best{i}.") for i in range(len(agent.learners))]
    agent.best_weights = best if all(best) else []
    columns = {name: arrays[f"history.{name}"] for name in vars(History())}
    history = History(list(columns["reward"]), list(columns["random"]), columns["loss"].tolist())
    return agent, history


def _tensors(learner: QLearner) -> dict[str, torch.Tensor]:
    """Every tensor of a learner by name: network, target network, Adam's moments."""
    tensors = {f"network.{name}": tensor for name, tensor in learner.network.state_dict().items()}
    if learner.target is not learner.network:
        tensors |= {f"target.{name}": tensor for name, tensor in learner.target.state_dict().items()}
    for number, moments in learner.optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": tensor for name, tensor in moments.items()}
    return tensors


def _put(learner: QLearner, tensors: dict[str, torch.Tensor]) -> None:
    learner.network.load_state_dict(_part(tensors, "network."))
    if learner.target is not learner.network:
        learner.target.load_state_dict(_part(tensors, "target."))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _part(tensors, "adam.").items():
        number, moment = name.split(".")
        state.setdefault(int(number), {})[moment] = tensor
    learner.optimiser.load_state_dict({**learner.optimiser.state_dict(), "state": state})


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

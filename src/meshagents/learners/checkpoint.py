"""Learners as arrays: everything needed to continue training, without pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from meshagents.agent import Transition
from meshagents.errors import AgentError
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.spaces import Spaces
from meshgym import files
from meshgym.files import Arrays

if TYPE_CHECKING:
    from meshagents.learners.dqn import DQN, QFunction

_Value = TypeVar("_Value")
_Learner = TypeVar("_Learner", bound="DQN")
_SPACES = ("low", "high", "actions")


@contextmanager
def reading(path: str | Path) -> Iterator[Arrays]:
    """Open an agent's file and hand out its arrays.

    Raises:
        AgentError: the file is missing, or what was read in the block isn't what it should be.
    """
    with files.reading(path, "an agent file", AgentError, f"Train one with: meshagents train SCENARIO --out {path}"):
        yield files.read_arrays(path)


def to_arrays(agent: DQN) -> Arrays:
    """Return a learner as arrays."""
    about = {
        "kind": type(agent).__name__,
        "hyperparameters": agent.hyperparameters.to_dict(),
        "seed": agent.seed,
        "arguments": {name: getattr(agent, name) for name in agent.arguments},
        "observed": agent.spaces.observed,
        "rng": agent.rng.bit_generator.state,
        "added": agent.replay.added,
        "newest": agent.replay.newest,
        "rewards": agent.reward_scale.count,
    }
    arrays: Arrays = {"learner": np.array(json.dumps(about))}
    arrays |= {f"spaces.{name}": getattr(agent.spaces, name) for name in _SPACES}
    arrays |= {"scale.mean": agent.reward_scale.mean, "scale.squares": agent.reward_scale.squares}
    arrays |= {f"replay.{i}": column for i, column in enumerate(agent.replay.columns)}
    for i, q in enumerate(agent.q_functions):
        arrays |= {f"q{i}.{name}": tensor.numpy() for name, tensor in _tensors(q).items()}
    for i, weights in enumerate(agent.best_weights):
        arrays |= {f"best{i}.{name}": tensor.numpy() for name, tensor in weights.items()}
    return arrays


def from_arrays(kind: type[_Learner], arrays: Arrays) -> _Learner:
    """Return the learner that :func:`to_arrays` was given.

    Raises:
        AgentError: the arrays hold another kind of learner.
    """
    about = files.parse_json(str(arrays["learner"]))
    if about["kind"] != kind.__name__:
        raise AgentError(f"the file holds the agent {about['kind']}; load it with {about['kind']}.load()")
    spaces = Spaces(**{name: arrays[f"spaces.{name}"] for name in _SPACES}, observed=about["observed"])
    hyperparameters = Hyperparameters.from_dict(about["hyperparameters"])
    agent = kind(spaces, hyperparameters, about["seed"], **about["arguments"])
    agent.rng.bit_generator.state = about["rng"]
    agent.replay.added, agent.replay.newest = about["added"], about["newest"]
    agent.replay.columns = [arrays[f"replay.{i}"] for i in range(len(Transition._fields))] if about["added"] else []
    agent.reward_scale.count = about["rewards"]
    agent.reward_scale.mean, agent.reward_scale.squares = arrays["scale.mean"], arrays["scale.squares"]
    for i, q in enumerate(agent.q_functions):
        _put(q, _copies(part(arrays, f"q{i}.")))
    best = [_copies(part(arrays, f"best{i}.")) for i in range(len(agent.q_functions))]
    agent.best_weights = best if all(best) else []
    return agent


def part(values: Mapping[str, _Value], prefix: str) -> dict[str, _Value]:
    """Return the entries whose names begin with ``prefix``, without it."""
    return {name[len(prefix) :]: value for name, value in values.items() if name.startswith(prefix)}


def _copies(arrays: Arrays) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def _tensors(q: QFunction) -> dict[str, Tensor]:
    """Return every tensor of a Q-function by name: network, target network, Adam's moments."""
    tensors = {f"network.{name}": tensor for name, tensor in q.network.state_dict().items()}
    if q.target is not q.network:
        tensors |= {f"target.{name}": tensor for name, tensor in q.target.state_dict().items()}
    for number, moments in q.optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": tensor for name, tensor in moments.items()}
    return tensors


def _put(q: QFunction, tensors: dict[str, Tensor]) -> None:
    q.network.load_state_dict(part(tensors, "network."))
    if q.target is not q.network:
        q.target.load_state_dict(part(tensors, "target."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part(tensors, "adam.").items():
        number, moment = name.split(".")
        state.setdefault(int(number), {})[moment] = tensor
    q.optimiser.load_state_dict({**q.optimiser.state_dict(), "state": state})

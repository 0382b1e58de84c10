"""A whole training: configuration, tasks, hyperparameters and seed in, a trained agent out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

import meshgym  # noqa: F401 (registers the environments)
from meshagents.errors import AgentError
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.spaces import Spaces
from meshagents.training.application import Application
from meshagents.training.configurations import Configuration
from meshagents.training.loop import History, Progress, train
from meshagents.training.tasks import Task
from meshagents.training.trained import Trained, load_trained, save_trained
from meshgym.errors import InvalidValueError
from meshgym.files import lock
from meshgym.rewards import Reward

#: Epochs between two saves of a training that is kept in a file.
SAVE_EVERY = 10


def make_environment(
    configuration: Configuration,
    tasks: Sequence[Task],
    num_envs: int,
    reward: str | Reward = "worst_case",
    contexts: str = "uniform",
) -> VectorEnv[Any, Any, Any]:
    """Return ``num_envs`` environments of one task, or an :class:`Application` of several.

    Raises:
        MeshGymError: an unknown scenario, reward or contexts, or no usable simulator.
    """
    batches = [
        gym.make_vec(
            "MeshResilience-v0",
            num_envs=num_envs,
            scenario=task.scenario,
            simulator=task.load_simulator(),
            control=configuration.control(task.load_scenario()),
            reward=reward,
            contexts=contexts,
        )
        for task in tasks
    ]
    return batches[0] if len(batches) == 1 else Application(batches)


def train_agent(
    configuration: Configuration,
    tasks: Sequence[Task],
    hyperparameters: Hyperparameters,
    seed: int,
    *,
    reward: str | Reward = "worst_case",
    contexts: str = "uniform",
    path: str | Path | None = None,
    progress: Progress | None = None,
    more: int = 0,
    patience: int | None = None,
) -> Trained:
    """Train an agent on simulators; with ``path``, go on with the training that the file holds.

    Args:
        configuration: who decides what.
        tasks: one, or several whose agents collaborate.
        hyperparameters: of the agent and the training.
        seed: seed of everything.
        reward, contexts: of the environments; see ``meshgym.envs``.
        path: the agent's file, written every few epochs; None for no file.
        progress: called after each epoch.
        more, patience: see :func:`meshagents.training.loop.train`.

    Raises:
        InvalidValueError: the file holds another training, or can't hold this one.
        AgentError: the file is damaged, or another training writes to it.
        MeshGymError: an unknown scenario, reward or contexts, or no usable simulator.
    """
    envs = make_environment(configuration, tasks, hyperparameters.num_envs, reward, contexts)
    agent = configuration.make_agent(Spaces.of_envs(envs), hyperparameters, seed)
    trained = Trained(agent, configuration, tuple(tasks), reward, contexts, History())
    with _alone(path):
        if path is not None:
            trained = _kept(Path(path), trained)

        def after_epoch(history: History) -> None:
            if path is not None and len(history) % SAVE_EVERY == 0:
                save_trained(path, trained)
            if progress:
                progress(history)

        before = len(trained.history)
        train(trained.agent, envs, trained.history, after_epoch, more, patience)
        if path is not None and len(trained.history) > before:
            save_trained(path, trained)
    return trained


def _alone(path: str | Path | None) -> AbstractContextManager[None]:
    """Keep other trainings away from an agent's file: the last one to save would win."""
    if path is None:
        return nullcontext()
    path = Path(path)
    busy = AgentError(f"another training is writing to {path}; wait for it or choose another file")
    return lock(path.with_name(f".{path.name}.lock"), busy)


def _kept(path: Path, new: Trained) -> Trained:
    """Return the training that a file holds, or the new one if there is no file yet."""
    identity = new.identity()
    if not path.exists():
        return new
    kept = load_trained(path)
    if kept.identity() != identity:
        remedy = "Choose another file, or delete this one."
        raise InvalidValueError("agent file", str(path), "one of the same training", remedy)
    return kept

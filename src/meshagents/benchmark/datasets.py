"""Datasets of behaviour on tasks of the benchmark, in Minari's format, to learn from without an environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from meshagents.benchmark.budgets import VERSION
from meshagents.benchmark.control import ControlTask
from meshagents.benchmark.environments import EnvTask
from meshagents.benchmark.tasks import TASKS
from meshgym.errors import InvalidValueError, MissingDependencyError, UnknownNameError
from meshgym.types import Progress

#: What behaves, and with which part of the budget it was trained; None for actions drawn at random.
BEHAVIOURS: dict[str, int | None] = {"random": None, "medium": 10, "expert": 1}
#: Steps of an episode of a bandit; those of control have their own.
_EPISODE = 100
_ABOUT = "https://github.com/meshgym/meshgym"


def recorded_tasks() -> dict[str, EnvTask | ControlTask]:
    """Return the tasks that datasets can be recorded on, by name."""
    return {name: task for name, task in TASKS.items() if isinstance(task, EnvTask | ControlTask)}


def record(
    names: Sequence[str],
    steps: int,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> list[str]:
    """Record every behaviour on tasks, and return the ids of the datasets: ``meshgym/TASK/BEHAVIOUR-vVERSION``.

    The project's DQN behaves: as an expert after its whole budget, as a medium one after a tenth of it; and chance
    does. A dataset that exists is replaced.

    Args:
        names: of tasks; none for all that can be recorded.
        steps: of each dataset, at least one episode.
        seed: of training and recording.
        folder: where Minari keeps datasets; None for its own.
        progress: called after each dataset.

    Raises:
        UnknownNameError: no such task.
        InvalidValueError: fewer steps than an episode has.
        MissingDependencyError: Minari isn't installed.
    """
    known = recorded_tasks()
    for name in names:
        if name not in known:
            raise UnknownNameError("task", name, known)
    tasks = [known[name] for name in names or known]
    total, done, ids = len(tasks) * len(BEHAVIOURS), 0, []
    with _datasets_in(folder):
        for task in tasks:
            for behaviour, part in BEHAVIOURS.items():
                ids.append(_record(task, behaviour, part, steps, seed))
                done += 1
                progress(done, total)
    return ids


def _record(task: EnvTask | ControlTask, behaviour: str, part: int | None, steps: int, seed: int) -> str:
    try:
        import minari  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependencyError("minari", "recording datasets", "minari") from error
    env = task.make_env(_EPISODE)
    length = int(env.spec.max_episode_steps or _EPISODE) if env.spec else _EPISODE
    if steps < length:
        raise InvalidValueError("steps", steps, f"at least an episode's, which are {length}")
    act = _acting(task, part, env, seed)
    recorder = minari.DataCollector(env)
    for episode in range(steps // length):
        observation, _ = recorder.reset(seed=seed + episode)
        for _ in range(length):
            observation, *_ = recorder.step(act(observation))
    name = f"meshgym/{task.name}/{behaviour}-v{VERSION}"
    if name in minari.list_local_datasets():
        minari.delete_dataset(name)
    recorder.create_dataset(
        dataset_id=name,
        algorithm_name="random" if part is None else "DQN",
        author="meshgym",
        code_permalink=_ABOUT,
        description=f"{behaviour} behaviour on task {task.name} of meshgym's benchmark, version {VERSION}, seed {seed}",
    )
    recorder.close()
    return name


def _acting(task: EnvTask | ControlTask, part: int | None, env: gym.Env[Any, Any], seed: int) -> Callable[[Any], Any]:
    """Return what chooses: a trained agent, or chance."""
    if part is None:
        env.action_space.seed(seed)
        return lambda observation: env.action_space.sample()
    agent = task.train_dqn(seed, part)
    return lambda observation: np.int64(agent.act(observation[None])[0])


@contextmanager
def _datasets_in(folder: Path | None) -> Iterator[None]:
    """Let Minari keep datasets in a folder."""
    name = "MINARI_DATASETS_PATH"
    before = os.environ.get(name)
    if folder is not None:
        os.environ[name] = str(folder)
    try:
        yield
    finally:
        if folder is not None:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before

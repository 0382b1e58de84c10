"""Trainings of an experiment: described, done in parallel, kept as files, and never done twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import joblib
import numpy as np
import pandas as pd
import torch

from meshagents.agent import Agent
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.training.configurations import load_configuration
from meshagents.training.evaluation import Evaluation
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import Who, evaluate_trained
from meshagents.validation.decisions import decide, draw_contexts
from meshgym.errors import FileError, MissingDependencyError, UnknownNameError
from meshgym.files import make_folder, read_json, reading, write_text
from meshgym.types import Progress

BACKENDS = ("loky", "ray", "dask")
#: Contexts of a scenario (with seed 0) under which each training keeps the decisions of its best epoch.
DECISIONS = 200


def label(configuration: str, services: int) -> str:
    """Return the name of a row of Table 5: the configuration, with ``*n`` for n services together."""
    return configuration + (f"*{services}" if services > 1 else "")


WorkT = TypeVar("WorkT", bound="Work")
#: Columns of the records that name a row of Table 5, and a cell.
ROW = ("configuration", "services")
CELL = (*ROW, "scenario")


def groups(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield the values of the columns as a tuple, and the rows that have them; in the order of the rows."""
    yield from frame.groupby(list(columns), sort=False)


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        configuration: name in :data:`meshagents.training.configurations.CONFIGURATIONS`.
        tasks: one, or several whose agents collaborate; scenarios and simulators by name or path.
        seed: seed of everything.
        hyperparameters: of the learners.
        contexts: how rules are drawn, see ``meshgym.envs``.
        ablation: what the learner does without, see :mod:`meshagents.experiments.comparisons`; a part of the file's
            name.
    """

    configuration: str
    tasks: tuple[Task, ...]
    seed: int
    hyperparameters: Hyperparameters
    contexts: str = "uniform"
    ablation: str = ""

    @property
    def label(self) -> str:
        """The row of Table 5."""
        return label(self.configuration, len(self.tasks))

    @property
    def filename(self) -> str:
        """Name of the file that keeps the result."""
        ablation = f"{self.ablation} {self.contexts}".replace(" ", "-") if self.ablation else ""
        parts = [*(task.name for task in self.tasks), ablation, str(self.seed)]
        return "_".join([self.label.replace("&", "+").replace("*", "x"), *filter(None, parts)]) + ".json"

    def identity(self) -> dict[str, Any]:
        """Return all that the result depends on, as plain values."""
        return {
            "configuration": self.configuration,
            "tasks": [task.identity() for task in self.tasks],
            "seed": self.seed,
            "hyperparameters": self.hyperparameters.to_dict(),
            "contexts": self.contexts,
            "ablation": self.ablation,
            "decisions": DECISIONS,
        }


@contextmanager
def one_thread() -> Iterator[None]:
    """Jobs run side by side; with one thread each, a result doesn't depend on how many cores there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run_job(job: Job) -> list[dict[str, Any]]:
    """Train and evaluate; return one record per task.

    A record holds ``configuration``, ``services`` (how many were trained together), ``scenario``, ``task`` (its place
    in the job), ``seed``, ``ablation``, ``drawn`` (how contexts were drawn); ``paper_ratio`` (see
    :class:`meshagents.training.loop.History`); the attributes of :class:`meshagents.training.evaluation.Evaluation`;
    ``joint_oracle``, the reward of an oracle that chooses both threads and calls; ``curve``, the ratio of each epoch;
    ``cpu_s``, the processor seconds of the training, shared equally among the tasks; and ``decisions``, the settings
    that the agent of the best epoch chose under the scenario's first contexts (see
    :func:`meshagents.validation.decisions.draw_contexts`).
    """
    configuration = load_configuration(job.configuration)
    with one_thread():
        started = time.process_time()
        trained = train_agent(configuration, job.tasks, job.hyperparameters, job.seed, contexts=job.contexts)
        seconds = time.process_time() - started
        evaluations = evaluate_trained(trained)
    history = trained.history
    curves = history.ratio.reshape(len(history), -1)
    return [
        {
            "configuration": job.configuration,
            "services": len(job.tasks),
            "scenario": task.name,
            "task": i,
            "seed": job.seed,
            "ablation": job.ablation,
            "drawn": job.contexts,
            "paper_ratio": float(np.atleast_1d(history.paper_ratio)[i]),
            **judged(trained.agent.best(), task, configuration, evaluations[i], i),
            "cpu_s": seconds / len(job.tasks),
            "curve": curves[:, i].tolist(),
        }
        for i, task in enumerate(job.tasks)
    ]


def judged(agent: Agent, task: Task, who: Who, evaluation: Evaluation, i: int = 0) -> dict[str, Any]:
    """Return the part of a record that any agent has, wherever it was trained; see :func:`run_job`.

    Args:
        agent: who decides, as its decisions are kept.
        task: its task ``i``.
        who: what it controls.
        evaluation: on that task.
        i: number of the task.
    """
    scenario = task.load_scenario()
    contexts = draw_contexts(scenario, DECISIONS, 0)
    return {
        **asdict(evaluation),
        "joint_oracle": float(task.grid().rewards.max(axis=(1, 2)).mean(dtype=np.float64)),
        "decisions": decide(agent, contexts, scenario, who.control(scenario), i).tolist(),
    }


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do what hasn't been done yet, in parallel, and read all results.

    Args:
        jobs: what there is to do.
        folder: where to keep results, one file per job. Results of the same job that it already holds count.
        n_jobs: processes; -1 for one per core.
        backend: ``"loky"`` for this machine; ``"ray"`` for the cluster of ``RAY_ADDRESS`` and ``"dask"`` for that
            of ``DASK_SCHEDULER_ADDRESS``, or a local one if these aren't set. The simulators must have the
            same paths there. Ray gives its results at the end, the others as they come.
        progress: called after each job.

    Returns:
        The records of all jobs, see :func:`run_job`.

    Raises:
        UnknownNameError: no such backend.
        MissingDependencyError: the backend's package isn't installed.
        FolderError: ``folder`` can't be written.
    """
    kept = run_all(jobs, run_job, folder, n_jobs, backend, progress)
    return pd.DataFrame([record for records in kept for record in records])


class Work(Protocol):
    """Something to do whose result is kept in a file."""

    @property
    def filename(self) -> str:
        """Name of the file that keeps the result."""

    def identity(self) -> dict[str, Any]:
        """Return all that the result depends on, as plain values."""


def run_all(
    jobs: Sequence[WorkT],
    do: Callable[[WorkT], Any],
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> list[Any]:
    """Do what hasn't been done yet, in parallel; return all results, which are plain values, in the order of the jobs.

    Arguments and errors as of :func:`run_jobs`.
    """
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    make_folder(folder)
    left = [job for job in jobs if _kept(job, folder) is None]
    progress(len(jobs) - len(left), len(jobs))
    with _backend(backend):
        return_as = "list" if backend == "ray" else "generator"
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as=return_as, batch_size=1)
        for done, records in enumerate(parallel(joblib.delayed(do)(job) for job in left)):
            result = {"job": left[done].identity(), "records": records}
            write_text(folder / left[done].filename, json.dumps(result))
            progress(len(jobs) - len(left) + done + 1, len(jobs))
    return [_kept(job, folder) for job in jobs]


@contextmanager
def _backend(name: str) -> Iterator[None]:
    """Connect joblib's backend."""
    try:
        if name == "ray":
            from ray.util.joblib import register_ray

            register_ray()
        elif name == "dask":
            from dask.distributed import Client

            with Client(), joblib.parallel_config("dask"):
                yield
            return
    except ImportError:
        raise MissingDependencyError(name, f"--backend {name}", name) from None
    with joblib.parallel_config(name):
        yield


def _kept(job: Work, folder: Path) -> Any:
    """Return the result of a job that was done before, or None."""
    try:
        with reading(folder / job.filename, "a result", FileError, ""):
            content = read_json(folder / job.filename)
            return content["records"] if content["job"] == job.identity() else None
    except FileError:
        return None  # missing or damaged: done again

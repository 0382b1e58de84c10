"""Trainings of an experiment: do them in parallel, keep each result in a file, and do none twice."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch

from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.training.configurations import label, load_configuration
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import evaluate_trained
from meshagents.validation.decisions import decide, draw_contexts
from meshgym.errors import MissingDependencyError, UnknownNameError
from meshgym.files import make_folder, write_text
from meshgym.types import Progress

BACKENDS = ("loky", "ray", "dask")
#: Contexts of a scenario (with seed 0) under which each training keeps the decisions of its best epoch.
DECISIONS = 200


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        configuration: name in :data:`meshagents.training.configurations.CONFIGURATIONS`.
        tasks: one, or several whose agents collaborate; scenarios and simulators by name or path.
        seed: seed of everything.
        hyperparameters: hyperparameters of the learner.
        contexts: how contexts are drawn; see ``meshgym.envs``.
        ablation: what the learner is deprived of; empty if nothing.
    """

    configuration: str
    tasks: tuple[Task, ...]
    seed: int
    hyperparameters: Hyperparameters
    contexts: str = "uniform"
    ablation: str = ""

    @property
    def filename(self) -> str:
        """Name of the file that holds the result."""
        name = label(self.configuration, len(self.tasks)).replace("&", "+").replace("*", "x")
        kind = re.sub(r"\W+", "-", self.ablation) + ("" if self.contexts == "uniform" else f"-{self.contexts}")
        return "_".join(filter(None, [name, *(task.name for task in self.tasks), kind, str(self.seed)])) + ".json"

    def identity(self) -> dict[str, Any]:
        """Return all that the result depends on."""
        simulators = [asdict(task.load_simulator().identity) for task in self.tasks]
        return {
            "configuration": self.configuration,
            "scenarios": [task.name for task in self.tasks],
            "simulators": json.loads(json.dumps(simulators)),
            "seed": self.seed,
            "hyperparameters": self.hyperparameters.to_dict(),
            "contexts": self.contexts,
            "ablation": self.ablation,
            "decisions": DECISIONS,
        }


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread: jobs share the cores, and results don't depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run_job(job: Job) -> list[dict[str, Any]]:
    """Train and evaluate; return one record per task.

    A record holds:

    - ``configuration``, ``services`` (how many learned together), ``scenario``, ``task`` (index), ``seed``,
      ``ablation`` and ``drawn`` (how contexts were drawn);
    - ``paper_ratio``, see :class:`meshagents.training.loop.History`;
    - the fields of :class:`meshagents.training.evaluation.Evaluation`;
    - ``joint_oracle``: the oracle's reward if it chose both threads and calls;
    - ``curve``: the ratio of each epoch;
    - ``cpu_s``: processor seconds of the training, shared equally among the tasks;
    - ``decisions``: the settings that the agent of the best epoch chose under the scenario's first contexts, see
      :func:`meshagents.validation.decisions.draw_contexts`.
    """
    configuration, count = load_configuration(job.configuration), len(job.tasks)
    with _one_thread():
        started = time.process_time()
        trained = train_agent(configuration, job.tasks, job.hyperparameters, job.seed, contexts=job.contexts)
        seconds = time.process_time() - started
        evaluations = evaluate_trained(trained)
    best, history = trained.agent.best(), trained.history
    curves = history.ratio.reshape(len(history), -1)
    records = []
    for i, (task, evaluation) in enumerate(zip(job.tasks, evaluations, strict=True)):
        scenario = task.load_scenario()
        contexts = draw_contexts(scenario, DECISIONS, seed=0)
        records.append(
            {
                "configuration": job.configuration,
                "services": count,
                "scenario": task.name,
                "task": i,
                "seed": job.seed,
                "ablation": job.ablation,
                "drawn": job.contexts,
                "paper_ratio": float(np.atleast_1d(history.paper_ratio)[i]),
                **asdict(evaluation),
                "joint_oracle": float(task.grid().rewards.max(axis=(1, 2)).mean(dtype=np.float64)),
                "cpu_s": seconds / count,
                "curve": curves[:, i].tolist(),
                "decisions": decide(best, contexts, scenario, configuration.control, i).tolist(),
            }
        )
    return records


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do what hasn't been done yet, in parallel, and read all results.

    Args:
        jobs: what to do.
        folder: where the results are kept, one file per job. A file of the same job counts as done.
        n_jobs: processes; -1 for one per core.
        backend: ``"loky"`` for this machine, ``"ray"`` for the cluster of ``RAY_ADDRESS``, ``"dask"`` for that of
            ``DASK_SCHEDULER_ADDRESS`` (without these variables, a local cluster). The simulators must have the same
            paths there. Ray returns its results at the end, the others as they come.
        progress: called after each job.

    Returns:
        The records of all jobs; see :func:`run_job`.

    Raises:
        UnknownNameError: no such backend.
        MissingDependencyError: the backend's package isn't installed.
        FolderError: ``folder`` can't be written.
    """
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    make_folder(folder)
    left = [job for job in jobs if _kept(job, folder) is None]
    progress(len(jobs) - len(left), len(jobs))
    with _backend(backend):
        return_as = "list" if backend == "ray" else "generator"
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as=return_as, batch_size=1)
        for done, records in enumerate(parallel(joblib.delayed(run_job)(job) for job in left)):
            result = {"job": left[done].identity(), "records": records}
            write_text(folder / left[done].filename, json.dumps(result))
            progress(len(jobs) - len(left) + done + 1, len(jobs))
    return pd.DataFrame([record for job in jobs for record in _kept(job, folder) or []])


@contextmanager
def _backend(name: str) -> Iterator[None]:
    """Connect joblib to a backend."""
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


def _kept(job: Job, folder: Path) -> list[dict[str, Any]] | None:
    """Return the records of a job that was done before, or None."""
    try:
        content = json.loads((folder / job.filename).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("job") != job.identity():
        return None
    records: list[dict[str, Any]] = content["records"]
    return records

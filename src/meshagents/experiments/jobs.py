"""Training runs of an experiment: described, done in parallel, kept as files, and not done twice."""

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

from meshagents.agent import Agent
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.training.configurations import load_configuration
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import evaluate_trained
from meshagents.validation.decisions import decide, draw_contexts
from meshgym.errors import FolderError, MissingDependencyError, UnknownNameError
from meshgym.files import make_folder
from meshgym.scenarios import load_scenario
from meshgym.types import Progress

BACKENDS = ("loky", "ray", "dask")
#: Contexts of a scenario (with seed 0) under which each run keeps the decisions of its best epoch.
DECISIONS = 200


@dataclass(frozen=True)
class Job:
    """One training run.

    Attributes:
        configuration: name in :data:`meshagents.training.configurations.CONFIGURATIONS`.
        services: one, or several that collaborate; scenarios and simulators by name or path.
        seed: of everything.
        hyperparameters: of the learners.
        contexts: how rules are drawn, see ``meshgym.envs``.
        variant: what sets it apart from other jobs of its kind; a part of its name.
    """

    configuration: str
    services: tuple[Task, ...]
    seed: int
    hyperparameters: Hyperparameters
    contexts: str = "uniform"
    variant: str = ""

    @property
    def label(self) -> str:
        """As in Table 5: the configuration, with ``*n`` for n services."""
        return self.configuration + (f"*{len(self.services)}" if len(self.services) > 1 else "")

    @property
    def filename(self) -> str:
        """Where its result is kept."""
        label = self.label.replace("&", "+").replace("*", "x")
        scenarios = [service.name for service in self.services]
        parts = [label, *scenarios, re.sub(r"\W+", "-", self.variant), str(self.seed)]
        return "_".join(filter(None, parts)) + ".json"

    def identity(self) -> dict[str, Any]:
        """All the result depends on."""
        simulators = [asdict(service.load_simulator().identity) for service in self.services]
        return {
            "label": self.label,
            "scenarios": [service.name for service in self.services],
            "simulators": json.loads(json.dumps(simulators)),
            "seed": self.seed,
            "hyperparameters": self.hyperparameters.to_dict(),
            "contexts": self.contexts,
            "variant": self.variant,
            "decisions": DECISIONS,
        }


@contextmanager
def _one_thread() -> Iterator[None]:
    """Jobs run side by side; and with one thread each, a result does not depend on how many cores there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run_job(job: Job) -> list[dict[str, Any]]:
    """Train and evaluate; one record for each service.

    A record holds ``label``, ``scenario``, ``seed``, ``variant``; ``paper_ratio`` (see
    :class:`meshagents.training.loop.History`); ``agent``, ``random``, ``fixed``, ``oracle``, ``contexts`` and
    ``complete`` (see :class:`meshagents.training.evaluation.Evaluation`); ``joint_oracle``, the oracle's reward if both
    threads and calls were its to choose; ``curve``, the ratio of each epoch; ``cpu_s``, the processor seconds of
    training, shared equally among the services; ``decisions``, the settings that the agent of the best epoch
    chose under the scenario's first contexts (see :func:`meshagents.validation.decisions.draw_contexts`).
    """
    configuration = load_configuration(job.configuration)
    grids = [service.grid() for service in job.services]
    with _one_thread():
        started = time.process_time()
        trained = train_agent(configuration, job.services, job.hyperparameters, job.seed, contexts=job.contexts)
        seconds = time.process_time() - started
        evaluations = evaluate_trained(trained)
    agent, history = trained.agent, trained.history
    curves = history.ratio.reshape(len(history), -1)
    return [
        {
            "label": job.label,
            "scenario": service.name,
            "service": i,
            "seed": job.seed,
            "variant": job.variant,
            "paper_ratio": float(np.atleast_1d(history.paper_ratio)[i]),
            **asdict(evaluations[i]),
            "joint_oracle": float(grids[i].rewards.max(axis=(1, 2)).mean(dtype=np.float64)),
            "cpu_s": seconds / len(job.services),
            "curve": curves[:, i].tolist(),
            "decisions": _decisions(agent.best(), job, i),
        }
        for i, service in enumerate(job.services)
    ]


def _decisions(agent: Agent, job: Job, service: int) -> list[list[float]]:
    """What a job's agent chooses for one of its services under ``DECISIONS`` contexts, columns ``SETTING_NAMES``."""
    scenario = load_scenario(job.services[service].scenario)
    control = load_configuration(job.configuration).control
    alone = len(job.services) == 1
    contexts = draw_contexts(scenario, DECISIONS, seed=0)
    chosen: list[list[float]] = decide(agent, contexts, scenario, control, None if alone else service).tolist()
    return chosen


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do what has not been done yet, in parallel, and read all results.

    Args:
        jobs: what there is to do.
        folder: where results are kept, one file a job. One that is already there for the same job counts.
        n_jobs: processes; -1 for one a core.
        backend: ``"loky"`` for this machine; ``"ray"`` for the cluster of ``RAY_ADDRESS`` and ``"dask"`` for that
            of ``DASK_SCHEDULER_ADDRESS``, or a local one where these are not set. The simulators must have the
            same paths there. Ray gives its results at the end, the others as they come.
        progress: called after each job.

    Returns:
        The records of all jobs, see :func:`run_job`.

    Raises:
        UnknownNameError: no such backend.
        MissingDependencyError: the backend's package is not installed.
        FolderError: ``folder`` cannot be written.
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
            _keep(left[done], records, folder)
            progress(len(jobs) - len(left) + done + 1, len(jobs))
    return pd.DataFrame([record for job in jobs for record in _kept(job, folder) or []])


@contextmanager
def _backend(name: str) -> Iterator[None]:
    """joblib's backend, connected."""
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
    """The records of a job that was done before, None where it was not."""
    try:
        content = json.loads((folder / job.filename).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("job") != job.identity():
        return None
    records: list[dict[str, Any]] = content["records"]
    return records


def _keep(job: Job, records: list[dict[str, Any]], folder: Path) -> None:
    path = folder / job.filename
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(json.dumps({"job": job.identity(), "records": records}), "utf-8")
        partial.replace(path)
    except OSError as error:
        raise FolderError(f"cannot write the result {path}: {error}") from error

"""Say where a result comes from: simulators, traces, versions, machine."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from meshagents.training.evaluation import Evaluation
from meshagents.training.tasks import Task
from meshagents.training.trained import Trained, package_versions


def provenance(tasks: Sequence[Task], measured: Path | None = None) -> dict[str, Any]:
    """Describe what a result was made from and with.

    Args:
        tasks: their simulators and traces are the parents.
        measured: folder of the measurements that went into it.
    """
    collections = sorted(measured.glob("*/*/collection.json")) if measured else []
    versions = [json.loads(path.read_text("utf-8"))["versions"] for path in collections]
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **package_versions()},
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "simulators": [_simulator(task) for task in tasks],
        "measured_with": [dict(pairs) for pairs in {tuple(sorted(one.items())) for one in versions}],
    }


def _simulator(task: Task) -> dict[str, Any]:
    simulator = task.load_simulator()
    identity = asdict(simulator.identity)
    return {"sha256": simulator.sha256, "traces_sha256": identity.pop("traces"), **identity}


def describe_training(trained: Trained, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Describe an agent as the results of other commands describe themselves in their JSON files."""
    history = trained.history
    curves = {name: np.array(getattr(history, name)).reshape(len(history), -1).T for name in ("reward", "random")}
    tasks = [
        {"scenario": task.name, **asdict(found), "ratio_by_epoch": (reward / random).tolist()}
        for task, found, reward, random in zip(trained.tasks, evaluations, *curves.values(), strict=True)
    ]
    return {
        "kind": "training",
        "name": trained.configuration.name,
        "seed": trained.seed,
        "hyperparameters": trained.hyperparameters.to_dict(),
        "tasks": tasks,
        "provenance": {
            "versions": dict(trained.versions),
            "simulators": [_simulator(task) for task in trained.tasks],
            "measured_with": [],
        },
    }

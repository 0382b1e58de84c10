"""What results say of themselves: what they are and what they come from."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from meshagents.training.trained import Trained, evaluate_trained, package_versions
from meshgym.files import write_json
from meshgym.simulator import Simulator

#: Holds the measurements below a result's folder.
MEASURED = "measured"
#: A result's description of itself, as JSON has it: its ``kind`` (``"training"``, ``"validation"`` or ``"table5"``),
#: its ``provenance`` and more.
Description = Mapping[str, Any]


def write_description(path: Path, kind: str, simulators: Sequence[Simulator], about: Description) -> None:
    """Write a result's description of itself as JSON.

    Args:
        path: ends in ``.json``.
        kind: ``"validation"`` or ``"table5"``.
        simulators: what the result comes from.
        about: what else there is to say.

    Raises:
        FolderError: it can't be written.
    """
    collections = path.parent.glob(f"{MEASURED}/*/*/collection.json")
    measured_with = {tuple(sorted(json.loads(file.read_text("utf-8"))["versions"].items())) for file in collections}
    provenance = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "versions": {"python": platform.python_version(), **package_versions()},
        "simulators": [_parent(simulator) for simulator in simulators],
        "measured_with": [dict(pairs) for pairs in sorted(measured_with)],
    }
    write_json(path, {"kind": kind, **about, "provenance": provenance})


def describe(trained: Trained) -> Description:
    """Return who decides and for what reward, and the hash of the agent's file."""
    return {
        "configuration": trained.configuration.name,
        "reward": str(getattr(trained.reward, "__name__", trained.reward)),
        "agent": trained.sha256,
    }


def describe_training(trained: Trained) -> Description:
    """Return the description of a training; an agent's file knows it all."""
    about, history, evaluations = describe(trained), trained.history, evaluate_trained(trained)
    reward, random = (np.array(column).reshape(len(history), -1).T for column in (history.reward, history.random))
    return {
        "kind": "training",
        **about,
        "options": {
            "seed": trained.seed,
            "reward": about["reward"],
            "contexts": trained.contexts,
            **trained.hyperparameters.to_dict(),
        },
        "tasks": [
            {
                "scenario": task.name,
                **asdict(evaluations[i]),
                "reward_by_epoch": reward[i],
                "random_by_epoch": random[i],
            }
            for i, task in enumerate(trained.tasks)
        ],
        "provenance": {
            "agent": about["agent"],
            "versions": trained.versions,
            "simulators": [_parent(task.load_simulator()) for task in trained.tasks],
            "measured_with": [],
        },
    }


def _parent(simulator: Simulator) -> dict[str, Any]:
    identity = asdict(simulator.identity)
    return {"sha256": simulator.sha256, "traces_sha256": identity.pop("traces"), **identity}

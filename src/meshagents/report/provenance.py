"""What results say of themselves: what they are and what they come from."""

from __future__ import annotations

import hashlib
import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meshagents.training.trained import Decider, Trained, evaluate_trained, package_versions
from meshgym.files import read_bytes, signed, to_json, write_together
from meshgym.simulator import Simulator
from meshgym.traces.collection import FILENAME, begun, read_about

#: Holds the measurements below a result's folder.
MEASURED = "measured"
#: A result's description of itself, as JSON has it: its ``kind`` (``"training"``, ``"validation"`` or ``"table5"``),
#: its ``provenance`` and more.
Description = Mapping[str, Any]


def write_result(
    path: Path, kind: str, simulators: Sequence[Simulator], about: Description, files: Mapping[str, bytes]
) -> None:
    """Write a result's files together, and last its description of itself, with their hashes.

    Args:
        path: the description; ends in ``.json``.
        kind: ``"validation"`` or ``"table5"``.
        simulators: what the result comes from.
        about: what else there is to say.
        files: contents by name.

    Raises:
        FolderError: a file can't be written; what was there before is still there.
    """
    collections = filter(begun, path.parent.glob(f"{MEASURED}/*/*/{FILENAME}"))
    measured_with = {tuple(sorted(read_about(file)["versions"].items())) for file in collections}
    provenance = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "versions": {"python": platform.python_version(), **package_versions()},
        "simulators": [_parent(simulator) for simulator in simulators],
        "measured_with": [dict(pairs) for pairs in sorted(measured_with)],
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    description = to_json(signed({"kind": kind, **about, "provenance": provenance}))
    write_together({path.with_name(name): content for name, content in files.items()} | {path: description})


def read_table(about: Description, folder: Path, name: str) -> pd.DataFrame:
    """Return the table ``name`` of a result that :func:`write_result` wrote.

    Raises:
        ValueError: the table isn't the one that was written with the description.
    """
    content = read_bytes(folder / f"{name}.csv")
    if hashlib.sha256(content).hexdigest() != about["provenance"]["files"][f"{name}.csv"]:
        raise ValueError(f"{name}.csv is of another result, or was edited")
    return pd.read_csv(io.BytesIO(content))


def describe(trained: Decider) -> Description:
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

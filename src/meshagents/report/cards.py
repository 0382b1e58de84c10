"""What commands leave in a folder: tables, and beside them a card that says what they are and where they come from.

:mod:`meshagents.report.page` reads nothing else.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meshagents.statistics import Interval
from meshagents.training.evaluation import Evaluation
from meshagents.training.tasks import Task
from meshagents.training.trained import Trained
from meshagents.validation.gap import blame, gaps, in_words
from meshagents.validation.validate import Validated, Validation, summary
from meshgym.errors import FolderError
from meshgym.types import SETTING_NAMES

#: Where measurements are put below a folder, and the tables of a validation.
MEASURED = "measured"
RATIOS, GAPS, INPUTS, REPLAYED = "ratios.csv", "gaps.csv", "gap_inputs.csv", "validation.csv"
_PACKAGES = ("meshgym", "gymnasium", "numpy", "torch")


def write_card(path: Path, kind: str, services: Sequence[Task], about: Mapping[str, Any]) -> None:
    """Write a card as JSON.

    Args:
        path: ends in ``.json``.
        kind: ``"run"``, ``"validation"`` or ``"table5"``.
        services: whose simulators and traces are the parents.
        about: what there is to say.

    Raises:
        FolderError: it cannot be written.
    """
    card = {"kind": kind, **about, "provenance": _provenance(services, path.parent / MEASURED)}
    try:
        path.write_text(json.dumps(card, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise FolderError(f"cannot write {path}: {error}") from error


def _provenance(services: Sequence[Task], measured: Path) -> dict[str, Any]:
    collections = [json.loads(path.read_text("utf-8")) for path in sorted(measured.glob("*/*/collection.json"))]
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "simulators": [_parent(service) for service in services],
        "measured_with": [dict(pairs) for pairs in {tuple(sorted(one["versions"].items())) for one in collections}],
    }


def _parent(service: Task) -> dict[str, Any]:
    simulator = service.load_simulator()
    identity = asdict(simulator.identity)
    return {"sha256": simulator.sha256, "traces_sha256": identity.pop("traces"), **identity}


def write_run(path: Path, trained: Trained, evaluations: Sequence[Evaluation]) -> None:
    """Write the card of a trained agent, beside its file ``path``.

    Raises:
        FolderError: it cannot be written.
    """
    history = trained.history
    curves = {name: np.array(getattr(history, name)).reshape(len(history), -1).T for name in ("reward", "random")}
    rows = [
        {"scenario": task.name, **asdict(found), "reward": reward.tolist(), "random_by_epoch": random.tolist()}
        for task, found, reward, random in zip(trained.tasks, evaluations, *curves.values(), strict=True)
    ]
    about = {
        "configuration": trained.configuration.name,
        "seed": trained.seed,
        "hyperparameters": trained.hyperparameters.to_dict(),
        "services": rows,
    }
    write_card(path.with_suffix(".json"), "run", trained.tasks, about)


def write_validation(
    folder: Path, name: str, settings: Validation, services: Sequence[Task], found: Sequence[Validated]
) -> list[str]:
    """Write every decision, the ratios, the gaps and what they depend on, and the card.

    Args:
        folder: an existing one.
        name: of what was validated.
        settings: how much was measured.
        services: in the order of ``found``.
        found: what was measured of each.

    Returns:
        The gaps in words, a sentence a service and output.

    Raises:
        FolderError: a file cannot be written.
    """
    names = [one.scenario for one in found]
    tables = {
        REPLAYED: [one.replayed for one in found],
        RATIOS: [summary(one.replayed).rename_axis("policy").reset_index() for one in found],
        GAPS: [gaps(one) for one in found],
        INPUTS: [blame(one, settings.seed) for one in found],
    }
    sentences = [
        f"{scenario}, {sentence}"
        for scenario, found_gaps, inputs in zip(names, tables[GAPS], tables[INPUTS], strict=True)
        for sentence in in_words(found_gaps, inputs)
    ]
    try:
        for file, parts in tables.items():
            flat(pd.concat(parts, keys=names, names=["scenario"]).reset_index("scenario")).to_csv(
                folder / file, index=False
            )
    except OSError as error:
        raise FolderError(f"cannot write to {folder}: {error}") from error
    counts = [
        {
            "scenario": one.scenario,
            "contexts": int(one.replayed["context"].nunique()),
            "left_out": one.left_out,
            "settings": one.runs.groupby(list(SETTING_NAMES)).ngroups,
            "runs": len(one.runs),
        }
        for one in found
    ]
    about = {"name": name, "settings": asdict(settings), "services": counts, "gaps": sentences}
    write_card(folder / "validation.json", "validation", services, about)
    return sentences


def flat(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose columns of intervals are spread over three: the estimate, ``_low`` and ``_high``."""
    columns: dict[str, Any] = {}
    for name, values in table.items():
        if len(values) and isinstance(values.iloc[0], Interval):
            columns[str(name)] = [value.estimate for value in values]
            columns |= {f"{name}_{end}": [getattr(value, end) for value in values] for end in ("low", "high")}
        else:
            columns[str(name)] = values.to_numpy()
    return pd.DataFrame(columns)

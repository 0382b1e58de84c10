"""Results as one long table: a row per task, seed, method and metric."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from meshagents.experiments.jobs import label
from meshagents.training.evaluation import Evaluation
from meshagents.training.tasks import Task

#: Columns of the table. ``mesh`` is "simulated" or "live"; ``low`` and ``high`` are the ends of a 95 % interval where
#: there is one.
COLUMNS = ("task", "seed", "method", "mesh", "metric", "value", "low", "high")


def of_evaluations(tasks: Sequence[Task], evaluations: Sequence[Evaluation], seed: int | None) -> pd.DataFrame:
    """Return the rewards of agent, random, best fixed action and oracle, and the agent's share of the oracle's."""
    rows = [
        {"task": task.name, "seed": seed, "method": method, "metric": metric, "value": value}
        for task, found in zip(tasks, evaluations, strict=True)
        for method, metric, value in [
            *((name, "reward", getattr(found, name)) for name in ("agent", "random", "fixed", "oracle")),
            ("agent", "share", found.share),
            ("agent", "ratio", found.ratio),
        ]
    ]
    return _table(rows, "simulated")


def of_table5(frame: pd.DataFrame) -> pd.DataFrame:
    """Return every training of Table 5 and every agent from outside.

    Args:
        frame: what :func:`meshagents.experiments.table5.run` returned.
    """
    shown = frame.assign(
        method=[
            label(name, services) for name, services in zip(frame["configuration"], frame["services"], strict=True)
        ],
        reward=frame["agent"],
        share=frame["agent"] / frame["oracle"],
        ratio=frame["agent"] / frame["random"],
    ).rename(columns={"scenario": "task", "task": "place"})
    metrics = ["reward", "share", "ratio", "paper_ratio", "cpu_s"]
    long = shown.melt(["task", "seed", "method"], metrics, "metric", "value").dropna(subset="value")
    return _table(long.to_dict("records"), "simulated")


def of_ratios(ratios: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return what a validation measured and what the simulator expected of the same decisions.

    Args:
        ratios: rewards and ratios by scenario and policy, see :func:`meshagents.validation.gap.tables`.
        seed: of the contexts.
    """
    columns = {"live": ("live", "reward"), "sim": ("simulated", "reward")}
    columns |= {"live_ratio": ("live", "ratio"), "sim_ratio": ("simulated", "ratio")}
    rows: list[Mapping[str, Any]] = [
        {
            "task": row["scenario"],
            "seed": seed,
            "method": row["policy"],
            "mesh": mesh,
            "metric": metric,
            "value": row[name],
            "low": row[f"{name}_low"],
            "high": row[f"{name}_high"],
        }
        for row in ratios.to_dict("records")
        for name, (mesh, metric) in columns.items()
    ]
    return _table(rows)


def of_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Return scores with the columns ``task``, ``seed``, ``method``, ``metric`` and ``value``."""
    return _table(scores.to_dict("records"), "simulated")


def _table(rows: Sequence[Mapping[Any, Any]], mesh: str | None = None) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table = table if mesh is None else table.assign(mesh=mesh)
    return table.astype({"seed": "Int64", "value": float, "low": float, "high": float})


def as_files(table: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of ``results.csv`` and ``results.parquet``."""
    yield "results.csv", table.to_csv(index=False).encode()
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    yield "results.parquet", buffer.getvalue()

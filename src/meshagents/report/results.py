"""Write results into a folder: tables, and a JSON file that says what they are and where they come from.

:mod:`meshagents.report.page` reads nothing else, except the files of agents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from meshagents.experiments.table5 import Table5
from meshagents.report import plots, text
from meshagents.report.provenance import provenance
from meshagents.statistics import flatten
from meshagents.training.tasks import Task
from meshagents.validation.validate import Validated, Validation
from meshgym.files import write_json, write_text

#: Folder of the measurements, below that of the result.
MEASURED = "measured"


def write_validation(
    folder: Path,
    name: str,
    validation: Validation,
    tasks: Sequence[Task],
    validated: Sequence[Validated],
    tables: Mapping[str, pd.DataFrame],
) -> list[str]:
    """Write the decisions, the ratios, the gaps, the inputs they depend on, and ``validation.json``.

    Args:
        folder: an existing one.
        name: name of what was validated.
        validation: how much was measured.
        tasks: in the order of ``validated``.
        validated: what was measured of each task.
        tables: see :func:`meshagents.validation.gap.tables`.

    Returns:
        The gaps in words, one sentence per scenario and output.

    Raises:
        FolderError: a file can't be written.
    """
    _write_tables(folder, tables)
    sentences = text.gap_sentences(tables["gaps"], tables["gap_inputs"])
    about = {"name": name, "validation": asdict(validation), "tasks": [one.counts for one in validated]}
    _write_about(folder / "validation.json", "validation", tasks, {**about, "gaps": sentences})
    return sentences


def write_table5(folder: Path, table: Table5, frame: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> str:
    """Write ``table5.md``, its tables as CSV files, ``figure7.png`` and ``table5.json``.

    Args:
        folder: an existing one.
        table: what was trained.
        frame: the records of all trainings.
        tables: see :func:`meshagents.experiments.table5.tables`.

    Returns:
        The text of ``table5.md``.

    Raises:
        FolderError: a file can't be written.
    """
    shown = text.table5(tables, frame["cpu_s"].sum(), len(frame))
    write_text(folder / "table5.md", shown + "\n")
    _write_tables(folder, tables)
    plots.save(plots.figure7(flatten(tables["figure7"])), folder / "figure7.png")
    about = {"name": "Table 5", "seeds": table.seeds, "hyperparameters": table.hyperparameters.to_dict()}
    _write_about(folder / "table5.json", "table5", table.tasks, about)
    return shown


def write_ablations(folder: Path, table: pd.DataFrame) -> str:
    """Write ``ablations.md`` and ``.csv``; return the text.

    Args:
        folder: an existing one.
        table: see :func:`meshagents.experiments.comparisons.score_ablations`.

    Raises:
        FolderError: a file can't be written.
    """
    shown = text.comparisons(table)
    write_text(folder / "ablations.md", shown + "\n")
    _write_tables(folder, {"ablations": table})
    return shown


def _write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", flatten(table).to_csv(index=False))


def _write_about(path: Path, kind: str, tasks: Sequence[Task], about: Mapping[str, Any]) -> None:
    write_json(path, {"kind": kind, **about, "provenance": provenance(tasks, path.parent / MEASURED)})

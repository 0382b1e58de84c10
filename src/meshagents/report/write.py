"""What commands leave in a folder: tables, text, figures, and a JSON file that says what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from meshagents.experiments.table5 import Table5
from meshagents.report import plots, tidy
from meshagents.report.provenance import Description, write_result
from meshagents.report.text import claims_table, gaps_in_words, table5_text
from meshagents.statistics import markdown
from meshagents.validation.measure import Validation
from meshagents.validation.validate import Validated
from meshgym.files import write_together
from meshgym.simulator.plots import to_png


def _as_files(tables: Mapping[str, pd.DataFrame]) -> dict[str, bytes]:
    return {f"{name}.csv": table.to_csv(index=False).encode() for name, table in tables.items()}


def write_validation(
    folder: Path,
    about: Description,
    measuring: Validation,
    found: Sequence[Validated],
    tables: Mapping[str, pd.DataFrame],
    slo: Sequence[str] = (),
) -> list[str]:
    """Write the tables, and ``validation.json``.

    Args:
        folder: an existing one.
        about: what was validated, see :func:`meshagents.report.provenance.describe`.
        measuring: how much was measured.
        found: the validations.
        tables: what :func:`meshagents.validation.gap.tables` returned for them.
        slo: the objectives among them.

    Returns:
        The gaps in words, a sentence per scenario and output.

    Raises:
        FolderError: a file can't be written.
    """
    sentences = gaps_in_words(tables["gaps"], tables["gap_inputs"])
    more = {"options": {**asdict(measuring), **({"slo": list(slo)} if slo else {})}, "gaps": sentences}
    simulators = [one.simulator for one in found]
    files = _as_files(tables) | dict(tidy.as_files(tidy.of_ratios(tables["ratios"], measuring.seed)))
    write_result(folder / "validation.json", "validation", simulators, {**about, **more}, files)
    return sentences


def write_table5(folder: Path, experiment: Table5, frame: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> str:
    """Write the tables, ``table5.md``, ``table5.json``, ``figure7.png``, and ``results`` as CSV and Parquet.

    Args:
        folder: an existing one.
        experiment: what was trained.
        frame: what :func:`meshagents.experiments.table5.run` returned.
        tables: what :func:`meshagents.experiments.table5.tables` returned.

    Returns:
        The text of ``table5.md``.

    Raises:
        FolderError: a file can't be written.
    """
    text = table5_text(tables)
    figure = to_png(plots.figure7(tables["figure7"]))
    files = _as_files(tables) | {"table5.md": f"{text}\n".encode(), "figure7.png": figure}
    files |= dict(tidy.as_files(tidy.of_table5(frame)))
    options = {"seeds": experiment.seeds, **experiment.hyperparameters.to_dict()}
    simulators = [task.load_simulator() for task in experiment.tasks]
    write_result(folder / "table5.json", "table5", simulators, {"options": options}, files)
    return text


def write_ablations(folder: Path, table: pd.DataFrame) -> str:
    """Write ``ablations.md`` and ``ablations.csv``; return the text.

    Args:
        folder: an existing one.
        table: what :func:`meshagents.experiments.comparisons.score_ablations` returned.
    """
    text = markdown(claims_table(table))
    files = _as_files({"ablations": table}) | {"ablations.md": f"{text}\n".encode()}
    write_together({folder / name: content for name, content in files.items()})
    return text

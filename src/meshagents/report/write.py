"""What commands leave in a folder: tables, text, figures, and a JSON file that says what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from meshagents.experiments.table5 import Table5
from meshagents.report import plots
from meshagents.report.provenance import Description, write_description
from meshagents.report.text import claims_table, gaps_in_words, table5_text
from meshagents.statistics import markdown
from meshagents.validation.measure import Validation
from meshagents.validation.validate import Validated
from meshgym.files import write_text


def _write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))


def write_validation(
    folder: Path,
    about: Description,
    measuring: Validation,
    found: Sequence[Validated],
    tables: Mapping[str, pd.DataFrame],
) -> list[str]:
    """Write the tables, and ``validation.json``.

    Args:
        folder: an existing one.
        about: what was validated, see :func:`meshagents.report.provenance.describe`.
        measuring: how much was measured.
        found: the validations.
        tables: what :func:`meshagents.validation.gap.tables` returned for them.

    Returns:
        The gaps in words, a sentence per scenario and output.

    Raises:
        FolderError: a file can't be written.
    """
    _write_tables(folder, tables)
    sentences = gaps_in_words(tables["gaps"], tables["gap_inputs"])
    more = {"options": asdict(measuring), "gaps": sentences}
    write_description(folder / "validation.json", "validation", [one.simulator for one in found], {**about, **more})
    return sentences


def write_table5(folder: Path, experiment: Table5, tables: Mapping[str, pd.DataFrame]) -> str:
    """Write the tables, ``table5.md``, ``table5.json`` and ``figure7.png``.

    Args:
        folder: an existing one.
        experiment: what was trained.
        tables: what :func:`meshagents.experiments.table5.tables` returned.

    Returns:
        The text of ``table5.md``.

    Raises:
        FolderError: a file can't be written.
    """
    text = table5_text(tables)
    _write_tables(folder, tables)
    write_text(folder / "table5.md", text + "\n")
    plots.save(plots.figure7(tables["figure7"]), folder / "figure7.png")
    options = {"seeds": experiment.seeds, **experiment.hyperparameters.to_dict()}
    simulators = [task.load_simulator() for task in experiment.tasks]
    write_description(folder / "table5.json", "table5", simulators, {"options": options})
    return text


def write_ablations(folder: Path, table: pd.DataFrame) -> str:
    """Write ``ablations.md`` and ``ablations.csv``; return the text.

    Args:
        folder: an existing one.
        table: what :func:`meshagents.experiments.comparisons.score_ablations` returned.
    """
    text = markdown(claims_table(table))
    _write_tables(folder, {"ablations": table})
    write_text(folder / "ablations.md", text + "\n")
    return text

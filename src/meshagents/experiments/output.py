"""What experiments leave behind: text to read, tables and figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from meshagents.experiments import comparisons, figure7, table5
from meshagents.report import plots
from meshagents.validation.validate import Validated


def write_table5(frame: pd.DataFrame, folder: Path, validated: Sequence[Validated] = ()) -> str:
    """Score the records of Table 5 and write ``table5.md`` and ``.csv``, ``claims.csv``, ``figure7.csv`` and ``.png``.

    Args:
        frame: what :func:`meshagents.experiments.table5.run` returned.
        folder: an existing one.
        validated: what :func:`meshagents.experiments.table5_live.run` returned.

    Returns:
        The text of ``table5.md``.
    """
    cells = table5.score(frame, validated)
    claims = comparisons.score(frame)
    curves = figure7.score(frame)
    short = "\n".join(f"- {line}" for line in table5.shortfalls(cells)) or "- none"
    text = "\n\n".join(
        [
            table5.markdown(cells),
            f"Cells below {table5.GOAL:.0%} of the oracle, or not above the best fixed action",
            short,
            "The paper's claims, paired by scenario and seed; 95 % intervals",
            comparisons.markdown(claims),
            f"Training took {frame['cpu_s'].sum():.0f} processor seconds for {len(frame)} cells and seeds.",
        ]
    )
    (folder / "table5.md").write_text(text + "\n", "utf-8")
    table5.to_frame(cells).to_csv(folder / "table5.csv", index=False)
    comparisons.to_frame(claims).to_csv(folder / "claims.csv", index=False)
    curves.to_csv(folder / "figure7.csv", index=False)
    plots.save(figure7.plot(curves), folder / "figure7.png")
    return text


def write_ablations(frame: pd.DataFrame, folder: Path) -> str:
    """Score the records of the ablations and write ``ablations.md`` and ``.csv``.

    Args:
        frame: what :func:`meshagents.experiments.comparisons.run_ablations` returned.
        folder: an existing one.

    Returns:
        The text of ``ablations.md``.
    """
    found = comparisons.score_ablations(frame)
    text = comparisons.markdown(found)
    (folder / "ablations.md").write_text(text + "\n", "utf-8")
    comparisons.to_frame(found).to_csv(folder / "ablations.csv", index=False)
    return text

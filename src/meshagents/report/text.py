"""Results as text: Markdown tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from meshagents.experiments.table5 import GOAL, shortfalls
from meshagents.statistics import Interval
from meshagents.training.configurations import label

#: A gap of more than so many times the noise is called large.
LARGE = 2.0
_UNITS = {"qps": " 1/s", "p503": ""}


def markdown(table: pd.DataFrame) -> str:
    """Return a table of texts as Markdown, which reads well in a terminal too."""
    return table.to_markdown(index=False, disable_numparse=True)


def by_scenario(cells: pd.DataFrame, text: Callable[[Any], str]) -> pd.DataFrame:
    """Return a table with one row per configuration and one column per scenario.

    Args:
        cells: columns ``configuration``, ``services``, ``scenario``, and what ``text`` uses.
        text: makes the text of a cell from its row.
    """
    rows = [(label(row.configuration, row.services), row.scenario, text(row)) for row in _rows(cells)]
    frame = pd.DataFrame(rows, columns=["", "scenario", "text"])
    grid = frame.pivot(index="", columns="scenario", values="text").fillna("")
    return grid.loc[frame[""].unique(), frame["scenario"].unique()].rename_axis(columns=None).reset_index()


def table5(tables: Mapping[str, pd.DataFrame], cpu_s: float, trainings: int) -> str:
    """Return the text of ``table5.md``.

    Args:
        tables: see :func:`meshagents.experiments.table5.tables`.
        cpu_s: processor seconds of all trainings.
        trainings: number of cells and seeds.
    """
    cells = tables["table5"]
    short = "\n".join(f"- {line}" for line in _shortfalls(cells)) or "- none"
    parts = {
        "Reward over random's, rolling mean over 25 epochs, best of the last 25; the paper's in brackets": by_scenario(
            cells, lambda cell: _plus_minus(cell.paper_ratio, ".2f") + _in_brackets(cell.paper)
        ),
        "Val: reward over random's, measured, with its 95 % interval; simulated for the same decisions; in brackets "
        "the paper's, measured and simulated": by_scenario(
            cells, lambda cell: f"{cell.val}; {cell.val_sim.estimate:.2f}{_in_brackets(cell.paper_val, cell.paper)}"
        ),
        "Greedy policy, share of the oracle's reward": by_scenario(cells, lambda cell: _plus_minus(cell.share, ".1%")),
        "Best fixed action's share of the oracle's reward; the oracle's ratio over random": by_scenario(
            cells, lambda cell: f"{cell.fixed_share:.1%}, {cell.ceiling:.2f}"
        ),
        "Share of the oracle's reward over all scenarios and seeds, with 95 % bootstrap intervals": _aggregate(
            tables["aggregate"]
        ),
    }
    measured = not all(math.isnan(interval.estimate) for interval in cells["val"])
    return "\n\n".join(
        [
            *(f"{title}\n\n{markdown(part)}" for title, part in parts.items() if measured or "Val:" not in title),
            f"Cells below {GOAL:.0%} of the oracle, or not above the best fixed action",
            short,
            "The paper's claims, paired by scenario and seed; 95 % intervals",
            comparisons(tables["claims"]),
            f"Training took {cpu_s:.0f} processor seconds for {trainings} cells and seeds.",
        ]
    )


def _aggregate(table: pd.DataFrame) -> pd.DataFrame:
    rows = [
        (label(row.configuration, row.services), *(f"{_percent(one)}" for one in (row.iqm, row.optimality_gap)))
        for row in _rows(table)
    ]
    return pd.DataFrame(rows, columns=["", "interquartile mean", "optimality gap"])


def _shortfalls(cells: pd.DataFrame) -> list[str]:
    lines = []
    for cell in _rows(shortfalls(cells)):
        name = f"{label(cell.configuration, cell.services)}, {cell.scenario}"
        if cell.below_goal:
            lines.append(f"{name}: {cell.share.estimate:.2%} of the oracle")
        if cell.below_fixed:
            lines.append(f"{name}: not above the best fixed action ({cell.fixed_share:.2%})")
    return lines


def comparisons(table: pd.DataFrame) -> str:
    """Return claims and how they fared as Markdown; see :func:`meshagents.experiments.comparisons.score`."""
    shown = table.assign(difference=table["difference"].map(str), size=table["size"].map("{:.2f}".format))
    return markdown(shown.rename(columns={"size": "Cohen's d"}).astype(str))


def gap_sentences(gaps: pd.DataFrame, inputs: pd.DataFrame) -> list[str]:
    """Say how large the gap is, one sentence per scenario and output; if it is large, name the inputs.

    Args:
        gaps, inputs: see :func:`meshagents.validation.gap.tables`.
    """
    sentences = []
    for gap in gaps[gaps["policy"] == "all"].to_dict("records"):
        same = (inputs["scenario"] == gap["scenario"]) & (inputs["output"] == gap["output"])
        sentences.append(f"{gap['scenario']}, {_gap_sentence(gap, inputs[same])}")
    return sentences


def _gap_sentence(gap: dict[Hashable, Any], inputs: pd.DataFrame) -> str:
    unit, bias = _UNITS[gap["output"]], gap["bias"].estimate
    size = f"{gap['output']}: {gap['rms']:.3g}{unit} off (root mean square), {bias:+.3g}{unit} on average"
    if not math.isfinite(gap["multiple"]):
        return f"{size}; there is no noise between repeats to compare it with."
    size += f"; {gap['multiple']:.1f} times the noise between repeats ({gap['noise']:.3g})"
    if gap["multiple"] <= LARGE:
        return f"{size}: small."
    same = f"{size}: large. {bias**2 / gap['rms'] ** 2:.0%} of its square is the same everywhere; "
    explained = inputs["explained"].max() if len(inputs) else 0
    if not explained:
        return f"{same}no input explains the rest."
    pairs = zip(inputs["input"][:3], inputs["importance"][:3], strict=True)
    first = ", ".join(f"{name} ({share:.0%})" for name, share in pairs if share > 0)
    return f"{same}the inputs explain {explained:.0%} of the rest, above all {first}."


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    return table.itertuples()


def _in_brackets(*of_paper: float) -> str:
    """Return the paper's figures in brackets; nothing if it has none."""
    return "" if math.isnan(of_paper[0]) else f" ({'; '.join(f'{value:.2f}' for value in of_paper)})"


def _plus_minus(interval: Interval, form: str) -> str:
    """Return an estimate and the half width of its interval."""
    half = interval.high - interval.estimate
    return f"{interval.estimate:{form}}" + (f" ± {half:{form}}" if np.isfinite(half) else "")


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:.2%} [{interval.low:.2%}, {interval.high:.2%}]"

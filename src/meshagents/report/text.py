"""Results as sentences and tables of text. Tables come in as files have them: an interval is three columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from meshagents.experiments.jobs import label
from meshagents.experiments.table5 import GOAL
from meshagents.statistics import Interval, markdown, short
from meshagents.validation.decisions import BASELINE

#: A gap of more than this many times the noise is called large.
LARGE = 2.0
_UNITS = {"qps": " 1/s", "p503": ""}
_REWARDS = {"worst_case": "503s per second", "best_case": "200s per second"}


def reward_in_words(name: str) -> str:
    """Return what a reward counts; the name itself of one of your own."""
    return _REWARDS.get(name, name)


def rows(table: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows as named tuples."""
    yield from table.itertuples()


def interval(row: Any, name: str) -> str:
    """Return columns NAME, NAME_low and NAME_high of a row as an interval; nothing where the estimate is NaN."""
    ends = Interval(*(getattr(row, f"{name}{end}") for end in ("", "_low", "_high")))
    return "" if math.isnan(ends.estimate) else str(ends)


def number(row: Any, name: str) -> str:
    """Return a column of a row; nothing where it isn't finite."""
    value = getattr(row, name)
    return short(value) if math.isfinite(value) else ""


def ratios_table(ratios: pd.DataFrame) -> pd.DataFrame:
    """Return a scenario's mean rewards and their ratios over random, a row per policy."""
    shown = {
        "ratio, measured": "live_ratio",
        "ratio, simulated": "sim_ratio",
        "reward, measured (1/s)": "live",
        "reward, simulated (1/s)": "sim",
    }
    texts = [[row.policy, *(interval(row, name) for name in shown.values())] for row in rows(ratios)]
    table = pd.DataFrame(texts, columns=["policy", *shown])
    table.loc[table["policy"] == BASELINE, list(shown)[:2]] = "1"
    return table


def objectives_table(objectives: pd.DataFrame) -> pd.DataFrame:
    """Return how often a scenario's decisions keep objectives, a row per policy."""
    texts = [
        [row.policy, f"{row.kept} of {row.runs}", interval(row, "share"), f"{row.expected:.0%}"]
        for row in rows(objectives)
    ]
    return pd.DataFrame(texts, columns=["policy", "runs that kept them", "share, measured", "decisions, expected"])


def table5_tables(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return Table 5 by caption: ratios beside the paper's, shares, aggregates, the paper's claims.

    Args:
        tables: see :func:`meshagents.experiments.table5.tables`.
    """
    cells = tables["table5"]
    val = (
        "Val: reward over random's, measured, with its 95 % interval; simulated for the same decisions; in brackets "
        "the paper's, measured and simulated"
    )
    texts: dict[str, Callable[[Any], str]] = {
        "Reward over random's, rolling mean over 25 epochs, best of the last 25; the paper's in brackets": (
            lambda row: _half_width(row, "paper_ratio", ".2f") + _in_brackets(row.paper)
        ),
        val: lambda row: f"{interval(row, 'val')}; {row.val_sim:.2f}{_in_brackets(row.paper_val, row.paper)}",
        "Greedy policy, share of the oracle's reward": lambda row: _half_width(row, "share", ".1%"),
        "Best fixed action's share of the oracle's reward; the oracle's ratio over random": (
            lambda row: f"{row.fixed_share:.1%}, {row.ceiling:.2f}"
        ),
    }
    if cells["val"].isna().all():
        del texts[val]
    aggregate = [
        [_label(row), interval(row, "interquartile_mean"), interval(row, "optimality_gap")]
        for row in rows(tables["aggregate"])
    ]
    return {
        **{caption: _by_scenario(cells, text) for caption, text in texts.items()},
        "All scenarios and seeds together: share of the oracle's reward, with 95 % bootstrap intervals": pd.DataFrame(
            aggregate, columns=["", "interquartile mean", "optimality gap"]
        ),
        "The paper's claims, paired by scenario and seed; 95 % intervals": claims_table(tables["claims"]),
    }


def _label(row: Any) -> str:
    return label(row.configuration, row.services)


def _by_scenario(cells: pd.DataFrame, text: Callable[[Any], str]) -> pd.DataFrame:
    """Return a table with a row per configuration and a column per scenario; ``text`` makes a cell of its row."""
    texts: dict[str, dict[str, str]] = {}
    for row in rows(cells):
        texts.setdefault(_label(row), {"": _label(row)})[row.scenario] = text(row)
    return pd.DataFrame(list(texts.values()), columns=["", *dict.fromkeys(cells["scenario"])]).fillna("")


def _half_width(row: Any, name: str, form: str) -> str:
    """Return an estimate and the half width of its interval."""
    estimate = getattr(row, name)
    if math.isnan(estimate):
        return ""
    half = getattr(row, f"{name}_high") - estimate
    return f"{estimate:{form}}" + (f" ± {half:{form}}" if np.isfinite(half) else "")


def _in_brackets(*paper: float) -> str:
    """Return the paper's figures; nothing where it has none."""
    return "" if math.isnan(paper[0]) else f" ({'; '.join(f'{value:.2f}' for value in paper)})"


def claims_table(claims: pd.DataFrame) -> pd.DataFrame:
    """Return comparisons: what is claimed, the difference with its interval, whether it holds."""
    columns = ["claim", "measure", "difference", "Cohen's d", "pairs", "holds"]
    texts = [
        (row.question, row.measure, interval(row, "difference"), f"{row.size:.2f}", row.pairs, row.holds)
        for row in rows(claims)
    ]
    return pd.DataFrame(texts, columns=columns)


def table5_text(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return all of Table 5 as Markdown; see :func:`table5_tables`."""
    parts = [part for caption, table in table5_tables(tables).items() for part in (caption, markdown(table))]
    cells, seconds = tables["table5"], tables["aggregate"]["cpu_s"].sum()
    parts += [
        f"Cells below {GOAL:.0%} of the oracle, or not above the best fixed action",
        "\n".join(f"- {line}" for line in shortfalls(cells)) or "- none",
        f"Training took {seconds:.0f} processor seconds for {cells['seeds'].sum()} cells and seeds.",
    ]
    return "\n\n".join(parts)


def shortfalls(cells: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each cell that falls short of the goal or of the best fixed action."""
    for row in rows(cells):
        if row.below_goal:
            yield f"{_label(row)}, {row.scenario}: {row.share:.2%} of the oracle"
        if row.below_fixed:
            yield f"{_label(row)}, {row.scenario}: not above the best fixed action ({row.fixed_share:.2%})"


def gaps_in_words(gaps: pd.DataFrame, inputs: pd.DataFrame) -> list[str]:
    """Return a sentence per scenario and output: how large the gap is, and which inputs a large one depends on.

    Args:
        gaps, inputs: see :func:`meshagents.validation.gap.tables`.
    """
    return [
        f"{gap.scenario}, {_gap(gap, inputs[(inputs['scenario'] == gap.scenario) & (inputs['output'] == gap.output)])}"
        for gap in rows(gaps[gaps["policy"] == "all"])
    ]


def _gap(gap: Any, blamed: pd.DataFrame) -> str:
    unit = _UNITS[gap.output]
    size = f"{gap.output}: {gap.rms:.3g}{unit} off (root mean square), {gap.bias:+.3g}{unit} on average"
    if not math.isfinite(gap.multiple):
        return f"{size}; there is no noise between repeats to compare it with."
    size += f"; {gap.multiple:.1f} times the noise between repeats ({gap.noise:.3g})"
    if gap.multiple <= LARGE:
        return f"{size}: small."
    same = f"{size}: large. {gap.bias**2 / gap.rms**2:.0%} of its square is the same everywhere; "
    explained = blamed["explained"].max() if len(blamed) else 0
    if not explained:
        return f"{same}no input explains the rest."
    first = ", ".join(f"{row.input} ({row.importance:.0%})" for row in rows(blamed[:3]) if row.importance > 0)
    return f"{same}the inputs explain {explained:.0%} of the rest, first of all {first}."

"""What a report says of a run, a validation and a table: sections of text, tables and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meshagents.experiments import figure7
from meshagents.report import plots
from meshagents.report.cards import GAPS, INPUTS, RATIOS, REPLAYED
from meshagents.statistics import Interval, short
from meshagents.validation.decisions import AGENT, BASELINE, FIXED, ORACLE

#: What a command wrote of itself, see :mod:`meshagents.report.cards`.
Card = Mapping[str, Any]


@dataclass
class Table:
    """Cells as text; the first column names the row. A folded one is shown when asked for."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    folded: bool = False


@dataclass
class Picture:
    """A figure as the address of its data."""

    address: str
    caption: str


@dataclass
class Section:
    """Text, then tables and pictures."""

    title: str
    text: list[str] = field(default_factory=list)
    blocks: list[Table | Picture] = field(default_factory=list)


def _run(card: Card, folder: Path) -> Iterator[Section]:
    """A training run."""
    rows, pictures = [], []
    for service in card["services"]:
        values = [f"{service[name]:.4g}" for name in ("random", "fixed", "agent", "oracle")]
        rows.append([service["scenario"], *values, f"{service['agent'] / service['oracle']:.1%}"])
        ratio = np.array(service["reward"]) / np.array(service["random_by_epoch"])
        caption = (
            f"{service['scenario']}: the reward of each epoch of training over that of random loads under the same "
            "rules. It rises as the agent explores less and knows more."
        )
        pictures.append(_picture(plots.learning_curve(ratio), caption))
    yield Section(
        "Training on the simulator",
        [
            f"Configuration {card['configuration']}, seed {card['seed']}. Nothing here was measured: the simulator "
            "answered. The oracle is the best load for each set of rules, found by trying all; the best fixed action "
            "is the one load that is best if it never changes.",
        ],
        [
            Table(
                "Mean reward (simulated 503s a second) over all rules of the scenario",
                ["service", "random", "best fixed action", "agent", "oracle", "agent's share of the oracle"],
                rows,
            ),
            *pictures,
        ],
    )


def _validation(card: Card, folder: Path) -> Iterator[Section]:
    """What was measured, and how far it lies from what was simulated."""
    ratios, gaps, inputs, replayed = (pd.read_csv(folder / name) for name in (RATIOS, GAPS, INPUTS, REPLAYED))
    settings = card["settings"]
    text = [
        f"Each policy chose a load under the same {settings['contexts']} sets of rules, and each different choice was "
        f"sent to the real mesh {settings['repeats']} times, the policies in turn. The ratio is a policy's mean reward "
        "over that of random loads; brackets hold 95 % intervals over the sets of rules.",
        *(sentence for _, rows in ratios.groupby("scenario", sort=False) for sentence in _verdict(rows)),
    ]
    section = Section("On the real mesh", text)
    for service in card["services"]:
        scenario = service["scenario"]
        rows = ratios[ratios["scenario"] == scenario]
        cells = [
            [
                row["policy"],
                *("1" if row["policy"] == BASELINE else _interval(row, name) for name in ("live_ratio", "sim_ratio")),
                *(_interval(row, name) for name in ("live", "sim")),
            ]
            for _, row in rows.iterrows()
        ]
        left_out = f"; {service['left_out']} left out, because their runs failed" if service["left_out"] else ""
        caption = f"{scenario}: {service['contexts']} sets of rules{left_out}, {service['runs']} runs"
        header = ["policy", "ratio, measured", "ratio, simulated", "reward, measured (1/s)", "reward, simulated (1/s)"]
        section.blocks += [
            _picture(
                plots.ratios(rows), f"{scenario}: how many times the reward of random loads. Right of 1 is better."
            ),
            Table(caption, header, cells),
        ]
    yield section
    yield _gap_section(card["gaps"], gaps, inputs, replayed)


def _verdict(rows: pd.DataFrame) -> Iterator[str]:
    """What came of the agent, in a sentence."""
    for _, row in rows[rows["policy"] == AGENT].iterrows():
        yield (
            f"{row['scenario']}: the agent's loads drew {row['live_ratio']:.2f} times as many 503s a second from the "
            f"real mesh as random ones (95 % interval {row['live_ratio_low']:.2f} to {row['live_ratio_high']:.2f}); "
            f"the simulator had said {row['sim_ratio']:.2f}."
        )


def _gap_section(sentences: list[str], gaps: pd.DataFrame, inputs: pd.DataFrame, replayed: pd.DataFrame) -> Section:
    section = Section(
        "Simulated and measured",
        [
            "The simulator answers from what it learned of earlier runs; here is how far off it was. Noise is the "
            "standard deviation of repeated runs of one setting: no simulator can come closer to a single run.",
            *sentences,
        ],
    )
    for scenario, rows in replayed.groupby("scenario", sort=False):
        caption = f"{scenario}: each point is one choice; on the dotted line it was predicted exactly."
        section.blocks.append(_picture(plots.predicted_against_measured(_grouped(rows)), caption))
    cells = [
        [
            f"{row['scenario']}, {row['output']}, {row['policy']}",
            *(_number(row[name]) for name in ("simulated", "measured")),
            _interval(row, "bias"),
            *(_number(row[name]) for name in ("rms", "noise", "multiple")),
            "" if math.isnan(row["covered"]) else f"{row['covered']:.0%}",
        ]
        for _, row in gaps[gaps["policy"].isin(["all", BASELINE, FIXED, AGENT, ORACLE])].iterrows()
    ]
    header = [
        "settings of", "simulated", "measured", "measured less simulated", "root mean square", "noise",
        "multiple of the noise", "runs in the 90 % interval",
    ]  # fmt: skip
    section.blocks.append(Table("The gap (qps in 1/s, p503 as a share)", header, cells))
    inputs = inputs[inputs["explained"] > 0]
    if len(inputs):
        caption = (
            "Which inputs the gap depends on: the share of its variance that a model of the inputs no longer explains, "
            "on settings it has not seen, when that input is shuffled."
        )
        section.blocks.append(_picture(plots.importances(inputs), caption))
    return section


def _grouped(replayed: pd.DataFrame) -> pd.DataFrame:
    """With few enough names of policies for a legend."""
    if replayed["policy"].nunique() <= 5:
        return replayed
    kinds = {name: FIXED if name.startswith("best fixed") else "agents" for name in replayed["policy"]}
    return replayed.assign(policy=replayed["policy"].map({**kinds, BASELINE: BASELINE}))


def _table5(card: Card, folder: Path) -> Iterator[Section]:
    """The table, the paper's claims and Figure 7."""
    cells = pd.read_csv(folder / "table5.csv")
    blocks: list[Table | Picture] = [
        _by_scenario(
            "Reward over random's on the simulator (the paper's, on its own mesh, in brackets)",
            cells,
            lambda row: f"{row['paper_ratio_estimate']:.2f} ({row['paper']:.2f})",
        )
    ]
    if cells["val_estimate"].notna().any():
        blocks.append(
            _by_scenario(
                "Reward over random's on the real mesh, with its 95 % interval (the paper's in brackets)",
                cells,
                lambda row: f"{_interval(row, 'val', '_estimate')} ({row['paper_val']:.2f})",
            )
        )
    blocks += [
        _by_scenario(
            "Share of the best possible reward on the simulator; in brackets that of the best fixed action",
            cells,
            lambda row: f"{row['share_estimate']:.1%} ({row['fixed_share']:.1%})",
        ),
        *_claims(folder / "claims.csv"),
        _picture(
            figure7.plot(pd.read_csv(folder / "figure7.csv")),
            "Reward over random's, epoch by epoch; above each service alone, below all of them together (Figure 7).",
        ),
    ]
    text = [
        "Call and Thread choose one of the two load settings, the others both: Thread&Call at once, Thread-Call and "
        "Call-Thread one after the other. *n means that n services learn together. Repeats of each training, with "
        f"other seeds: {card['seeds']}.",
    ]
    yield Section("Every kind of agent", text, blocks)


def _claims(path: Path) -> Iterator[Table]:
    """Those that could be tested."""
    if path.read_text().strip():
        rows = [
            [row["question"], row["measure"], _interval(row, "effect_difference", "_estimate"), row["answer"]]
            for _, row in pd.read_csv(path).iterrows()
        ]
        header = ["claim", "measure", "difference, with its 95 % interval", "holds"]
        yield Table("The paper's claims, tested run against run", header, rows)


def _by_scenario(caption: str, cells: pd.DataFrame, text: Callable[[pd.Series[Any]], str]) -> Table:
    """A row a configuration, a column a scenario."""
    texts = {(row["label"], row["scenario"]): text(row) for _, row in cells.iterrows()}
    scenarios = list(dict.fromkeys(cells["scenario"]))
    rows = [[label, *(texts.get((label, one), "") for one in scenarios)] for label in dict.fromkeys(cells["label"])]
    return Table(caption, ["", *scenarios], rows)


def origins(cards: list[Card]) -> Iterator[Section]:
    """Where all of it comes from: settings, simulators, versions."""
    for card in cards:
        origin = card["provenance"]
        simulators = [
            [one["scenario"], one["sha256"][:16], one["traces_sha256"][:16], one["recipe"], str(one["seed"])]
            for one in origin["simulators"]
        ]
        settings = {**card.get("hyperparameters", {}), **card.get("settings", {})}
        versions = {**origin["versions"], "system": origin["machine"], "made": origin["made"]}
        measured = [", ".join(f"{name} {value}" for name, value in one.items()) for one in origin["measured_with"]]
        yield Section(
            f"Where it comes from: {_KINDS[card['kind']]}",
            [f"Measured with {one}." for one in measured],
            [
                Table(
                    "Simulators, by the sha256 of their contents and of the traces they learned from",
                    ["scenario", "simulator", "traces", "recipe", "seed"],
                    simulators,
                ),
                _list("Settings", settings),
                _list("Versions", versions),
            ],
        )


def _list(caption: str, values: Mapping[str, Any]) -> Table:
    return Table(caption, ["", ""], [[name, str(value)] for name, value in values.items()], folded=True)


def _picture(figure: Any, caption: str) -> Picture:
    return Picture(plots.data_uri(figure), caption)


def _interval(row: pd.Series[Any], name: str, estimate: str = "") -> str:
    interval = Interval(row[f"{name}{estimate}"], row[f"{name}_low"], row[f"{name}_high"])
    return "" if math.isnan(interval.estimate) else str(interval)


def _number(value: float) -> str:
    return short(value) if math.isfinite(value) else ""


#: By kind of card, in the order of a page.
SECTIONS: dict[str, Callable[[Card, Path], Iterator[Section]]] = {
    "run": _run,
    "table5": _table5,
    "validation": _validation,
}
_KINDS = {"run": "the training", "validation": "the measurements", "table5": "the table"}

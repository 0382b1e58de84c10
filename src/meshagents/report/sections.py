"""What a report says of a training, a validation and a table: sections of text, tables and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meshagents.report import plots
from meshagents.report.text import by_scenario
from meshagents.statistics import Interval, short
from meshagents.validation.decisions import AGENT, BASELINE, FIXED, FIXED_FOR, ORACLE

#: What a result says of itself: its JSON file, or :func:`meshagents.report.provenance.describe_training`.
About = Mapping[str, Any]


@dataclass
class Table:
    """Cells of text; the first column names the row. A folded table opens on a click."""

    caption: str
    cells: pd.DataFrame
    folded: bool = False


@dataclass
class Picture:
    """A figure as a data URI."""

    address: str
    caption: str


@dataclass
class Section:
    """Text, then tables and pictures."""

    title: str
    text: list[str] = field(default_factory=list)
    blocks: list[Table | Picture] = field(default_factory=list)


def _training(about: About, folder: Path) -> Iterator[Section]:
    tasks = about["tasks"]
    rewards = {
        "scenario": [task["scenario"] for task in tasks],
        **{
            title: [f"{task[name]:.4g}" for task in tasks]
            for title, name in (("random", "random"), (FIXED, "fixed"), ("agent", "agent"), ("oracle", "oracle"))
        },
        "agent's share of the oracle": [f"{task['agent'] / task['oracle']:.1%}" for task in tasks],
    }
    yield Section(
        "Training on the simulator",
        [
            f"Configuration {about['name']}, seed {about['seed']}. Nothing here was measured: the simulator predicted "
            "it. The oracle takes the best load for each set of rules, found by trying all. The best fixed action is "
            "the one load that does best if it never changes.",
        ],
        [
            Table("Mean reward (simulated 503s per second) over all rules of the scenario", pd.DataFrame(rewards)),
            *(
                _picture(
                    plots.learning_curve(np.array(task["ratio_by_epoch"])),
                    f"{task['scenario']}: each epoch's reward over that of random loads under the same rules. It rises "
                    "as the agent explores less and knows more.",
                )
                for task in tasks
            ),
        ],
    )


def _validation(about: About, folder: Path) -> Iterator[Section]:
    ratios, gaps, inputs, compared = (
        pd.read_csv(folder / f"{name}.csv") for name in ("ratios", "gaps", "gap_inputs", "validation")
    )
    measured = about["validation"]
    section = Section(
        "On the real mesh",
        [
            f"Each policy chose a load under the same {measured['contexts']} sets of rules. Each different choice was "
            f"sent to the real mesh {measured['repeats']} times, the policies in turn. The ratio is a policy's mean "
            "reward over that of random loads; brackets hold 95 % intervals over the sets of rules.",
            *(_verdict(row) for row in ratios[ratios["policy"] == AGENT].to_dict("records")),
        ],
    )
    for task in about["tasks"]:
        scenario = task["scenario"]
        rows = ratios[ratios["scenario"] == scenario]
        columns = {
            "ratio, measured": "live_ratio",
            "ratio, simulated": "sim_ratio",
            "reward, measured (1/s)": "live",
            "reward, simulated (1/s)": "sim",
        }
        cells = {"policy": rows["policy"]} | {title: _intervals(rows, name) for title, name in columns.items()}
        left_out = f"; {task['left_out']} left out, because their runs failed" if task["left_out"] else ""
        section.blocks += [
            _picture(
                plots.ratios(rows), f"{scenario}: how many times the reward of random loads. Right of 1 is better."
            ),
            Table(
                f"{scenario}: {task['contexts']} sets of rules{left_out}, {task['runs']} runs",
                pd.DataFrame(cells).assign(
                    **{
                        title: lambda table, title=title: table[title].where(table["policy"] != BASELINE, "1")
                        for title in list(columns)[:2]
                    }
                ),
            ),
        ]
    yield section
    yield _gap(about["gaps"], gaps, inputs, compared)


def _verdict(row: Mapping[Any, Any]) -> str:
    return (
        f"{row['scenario']}: the agent's loads drew {row['live_ratio']:.2f} times as many 503s per second from the "
        f"real mesh as random ones (95 % interval {row['live_ratio_low']:.2f} to {row['live_ratio_high']:.2f}); "
        f"the simulator predicted {row['sim_ratio']:.2f}."
    )


def _gap(sentences: list[str], gaps: pd.DataFrame, inputs: pd.DataFrame, compared: pd.DataFrame) -> Section:
    shown = gaps[gaps["policy"].isin(["all", BASELINE, FIXED, AGENT, ORACLE])]
    cells = {
        "settings of": shown["scenario"] + ", " + shown["output"] + ", " + shown["policy"],
        "simulated": shown["simulated"].map(_number),
        "measured": shown["measured"].map(_number),
        "measured less simulated": _intervals(shown, "bias"),
        "root mean square": shown["rms"].map(_number),
        "noise": shown["noise"].map(_number),
        "multiple of the noise": shown["multiple"].map(_number),
        "runs in the 90 % interval": shown["covered"].map(lambda share: "" if math.isnan(share) else f"{share:.0%}"),
    }
    section = Section(
        "Simulated and measured",
        [
            "The simulator predicts from what it learned from earlier runs; here is how far off it was. Noise is the "
            "standard deviation of repeated runs of one setting: no simulator can come closer to a single run.",
            *sentences,
        ],
        [
            *(
                _picture(
                    plots.predicted_against_measured(rows.assign(policy=_grouped(rows["policy"]))),
                    f"{scenario}: each point is one decision; on the dotted line it was predicted exactly.",
                )
                for scenario, rows in compared.groupby("scenario", sort=False)
            ),
            Table("The gap (qps in 1/s, p503 as a share)", pd.DataFrame(cells)),
        ],
    )
    inputs = inputs[inputs["explained"] > 0]
    if len(inputs):
        caption = (
            "Which inputs the gap depends on: the share of its variance that a model of the inputs no longer explains, "
            "on settings that it hasn't seen, when that input is shuffled."
        )
        section.blocks.append(_picture(plots.importances(inputs), caption))
    return section


def _grouped(policies: pd.Series[Any]) -> pd.Series[Any]:
    """Group policies, if there are too many for a legend."""
    if policies.nunique() <= 5:
        return policies
    return policies.map({BASELINE: BASELINE, **dict.fromkeys(FIXED_FOR.values(), FIXED)}).fillna("agents")


def _table5(about: About, folder: Path) -> Iterator[Section]:
    cells = pd.read_csv(folder / "table5.csv")
    blocks: list[Table | Picture] = [
        Table(
            "Reward over random's on the simulator (the paper's, on its own mesh, in brackets)",
            by_scenario(cells, lambda cell: f"{cell.paper_ratio:.2f} ({cell.paper:.2f})"),
        ),
        Table(
            "Reward over random's on the real mesh, with its 95 % interval (the paper's in brackets)",
            by_scenario(
                cells, lambda cell: f"{Interval(cell.val, cell.val_low, cell.val_high)} ({cell.paper_val:.2f})"
            ),
        ),
        Table(
            "Share of the best possible reward on the simulator; in brackets that of the best fixed action",
            by_scenario(cells, lambda cell: f"{cell.share:.1%} ({cell.fixed_share:.1%})"),
        ),
    ]
    if cells["val"].isna().all():
        del blocks[1]
    claims = pd.read_csv(folder / "claims.csv")
    if len(claims):
        shown = claims[["claim", "measure"]].assign(difference=_intervals(claims, "difference"), holds=claims["holds"])
        shown = shown.rename(columns={"difference": "difference, with its 95 % interval"})
        blocks.append(Table("The paper's claims, tested training against training", shown))
    blocks.append(
        _picture(
            plots.figure7(pd.read_csv(folder / "figure7.csv")),
            "Reward over random's, epoch by epoch; above each service alone, below all of them together (Figure 7).",
        )
    )
    text = (
        "Call and Thread choose one field of the load, the others both: Thread&Call at once, Thread-Call and "
        "Call-Thread one after the other. *n means that n services learn together. Trainings per cell, each with "
        f"another seed: {about['seeds']}."
    )
    yield Section("Every kind of agent", [text], blocks)


def origins(results: list[About]) -> Iterator[Section]:
    """Say where all of it comes from: options, simulators, versions."""
    for about in results:
        origin = about["provenance"]
        columns = {"scenario": "scenario", "simulator": "sha256", "traces": "traces_sha256", "recipe": "recipe"}
        simulators = pd.DataFrame(origin["simulators"])[[*columns.values(), "seed"]].astype(str)
        simulators.columns = [*columns, "seed"]
        options = {**about.get("hyperparameters", {}), **about.get("validation", {})}
        places = {name: origin[key] for name, key in (("system", "machine"), ("made", "made")) if key in origin}
        measured = [", ".join(f"{name} {value}" for name, value in one.items()) for one in origin["measured_with"]]
        yield Section(
            f"Where it comes from: {_KINDS[about['kind']]}",
            [f"Measured with {one}." for one in measured],
            [
                Table(
                    "Simulators, by the sha256 of their contents and of the traces they learned from",
                    simulators.assign(simulator=simulators["simulator"].str[:16], traces=simulators["traces"].str[:16]),
                ),
                _list("Options", options),
                _list("Versions", {**origin["versions"], **places}),
            ],
        )


def _list(caption: str, values: Mapping[str, Any]) -> Table:
    return Table(caption, pd.DataFrame([(name, str(value)) for name, value in values.items()]), folded=True)


def _picture(figure: Any, caption: str) -> Picture:
    return Picture(plots.data_uri(figure), caption)


def _intervals(rows: pd.DataFrame, name: str) -> list[str]:
    """Return intervals that were spread over three columns as text; empty for NaN."""
    columns = (rows[name], rows[f"{name}_low"], rows[f"{name}_high"])
    return ["" if math.isnan(one[0]) else str(Interval(*one)) for one in zip(*columns, strict=True)]


def _number(value: float) -> str:
    return short(value) if math.isfinite(value) else ""


#: By kind of result, in the order of a page.
SECTIONS: dict[str, Callable[[About, Path], Iterator[Section]]] = {
    "training": _training,
    "table5": _table5,
    "validation": _validation,
}
_KINDS = {"training": "the training", "validation": "the measurements", "table5": "the table"}

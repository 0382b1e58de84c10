"""What a page shows of a training, a validation and a table: sections of text, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meshagents.report import plots
from meshagents.report.provenance import Description, read_table
from meshagents.report.text import (
    interval,
    number,
    objectives_table,
    ratios_table,
    reward_in_words,
    rows,
    table5_tables,
)
from meshagents.validation.decisions import AGENT, BASELINE, FIXED, ORACLE
from meshgym.pages.page import Section


def _training(about: Description, folder: Path) -> Iterator[Section]:
    text = (
        f"Configuration {about['configuration']}, seed {about['options']['seed']}. Nothing here was measured: the "
        "simulator predicted it. The oracle is the best load for each set of rules, found by trying all; the best "
        "fixed action is the one load that is best if it never changes."
    )
    policies = {"random": "random", "fixed": FIXED, "agent": "agent", "oracle": "oracle"}
    tasks = pd.DataFrame(about["tasks"])
    rewards = tasks[[*policies]].map("{:.4g}".format).rename(columns=policies)
    rewards["agent's share of the oracle"] = (tasks["agent"] / tasks["oracle"]).map("{:.1%}".format)
    rewards.insert(0, "scenario", tasks["scenario"])
    caption = f"Mean reward (simulated {reward_in_words(about['reward'])}) over all rules of the scenario"
    section = Section("Training on the simulator", [text], [(caption, rewards)])
    for task in rows(tasks):
        caption = (
            f"{task.scenario}: the reward of each epoch of training over that of random loads under the same rules. "
            "It rises as the agent explores less and knows more."
        )
        ratio = np.array(task.reward_by_epoch) / np.array(task.random_by_epoch)
        section.blocks.append((caption, plots.data_uri(plots.learning_curve(ratio))))
    yield section


def _validation(about: Description, folder: Path) -> Iterator[Section]:
    """Show what was measured, and how far it lies from what was simulated."""
    files = ("ratios", "counts", "gaps", "gap_inputs", "validation")
    ratios, counts, gaps, inputs, decisions = (read_table(about, folder, name) for name in files)
    options = about["options"]
    text = [
        f"Each policy chose a load under the same {options['contexts']} sets of rules. Each different choice was sent "
        f"to the real mesh {options['repeats']} times, the policies in turn. The ratio is a policy's mean reward over "
        "that of random loads; brackets hold 95 % intervals over the sets of rules."
    ]
    text += [
        f"{row.scenario}: the agent's loads drew {row.live_ratio:.2f} times as many {reward_in_words(about['reward'])} "
        f"from the real mesh as random ones (95 % interval {row.live_ratio_low:.2f} to {row.live_ratio_high:.2f}); the "
        f"simulator predicted {row.sim_ratio:.2f}."
        for row in rows(ratios[ratios["policy"] == AGENT])
    ]
    section = Section("On the real mesh", text)
    for one in rows(counts):
        own = ratios[ratios["scenario"] == one.scenario]
        left_out = f"; {one.left_out} left out, because their runs failed" if one.left_out else ""
        drawn = f"{one.scenario}: how many times the reward of random loads. Right of 1 is better."
        section.blocks.append((drawn, plots.data_uri(plots.ratios(own))))
        caption = f"{one.scenario}: {one.contexts} sets of rules{left_out}, {one.runs} runs"
        section.blocks.append((caption, ratios_table(own)))
    if slo := options.get("slo"):
        for scenario, own in read_table(about, folder, "objectives").groupby("scenario", sort=False):
            section.blocks.append((f"{scenario}: how often {', '.join(slo)} is kept", objectives_table(own)))
    yield section
    yield _gap(about["gaps"], gaps, inputs, decisions)


def _gap(sentences: list[str], gaps: pd.DataFrame, inputs: pd.DataFrame, decisions: pd.DataFrame) -> Section:
    about = (
        "The simulator predicts from what it learned of earlier runs; this is how far off it was. Noise is the "
        "standard deviation of repeated runs of one setting: no simulator can come closer to a single run."
    )
    section = Section("Simulated and measured", [about, *sentences])
    for scenario, own in decisions.groupby("scenario", sort=False):
        caption = f"{scenario}: each point is one choice; on the dotted line it was predicted exactly."
        section.blocks.append((caption, plots.data_uri(plots.predicted_against_measured(own))))
    shown: dict[str, Callable[[Any], str]] = {
        "settings of": lambda row: f"{row.scenario}, {row.output}, {row.policy}",
        "simulated": lambda row: number(row, "simulated"),
        "measured": lambda row: number(row, "measured"),
        "measured minus simulated": lambda row: interval(row, "bias"),
        "root mean square": lambda row: number(row, "rms"),
        "noise": lambda row: number(row, "noise"),
        "multiple of the noise": lambda row: number(row, "multiple"),
        "share of runs in the 90 % interval": lambda row: number(row, "covered"),
    }
    policies = gaps[gaps["policy"].isin(["all", BASELINE, FIXED, AGENT, ORACLE])]
    cells = pd.DataFrame([[text(row) for text in shown.values()] for row in rows(policies)], columns=list(shown))
    section.blocks.append(("The gap (qps in 1/s, p503 as a share)", cells))
    inputs = inputs[inputs["explained"] > 0]
    if len(inputs):
        caption = (
            "Which inputs the gap depends on: the share of its variance that a model of the inputs no longer explains, "
            "on settings it has not seen, when that input is shuffled."
        )
        section.blocks.append((caption, plots.data_uri(plots.importances(inputs))))
    return section


def _table5(about: Description, folder: Path) -> Iterator[Section]:
    """Show the table, the paper's claims and Figure 7."""
    tables = {name: read_table(about, folder, name) for name in ("table5", "aggregate", "claims", "figure7")}
    text = (
        "Call and Thread choose one field of the load, the others both: Thread&Call at once, Thread-Call and "
        "Call-Thread one after the other. *n means that n services learn together. The paper's ratios are of its own "
        f"mesh. Trainings of each cell, with different seeds: {about['options']['seeds']}."
    )
    caption = "Reward over random's, epoch by epoch; above each service alone, below all of them together (Figure 7)."
    figure = plots.data_uri(plots.figure7(tables["figure7"]))
    yield Section("Every kind of agent", [text], [*table5_tables(tables).items(), (caption, figure)])


def origins(results: list[Description]) -> Iterator[Section]:
    """Yield where all of it comes from: options, simulators, versions."""
    kinds = {"training": "the training", "validation": "the measurements", "table5": "the table"}
    for about in results:
        provenance = about["provenance"]
        simulators = pd.DataFrame(provenance["simulators"])[["scenario", "sha256", "traces_sha256", "recipe", "seed"]]
        measured = [", ".join(f"{name} {value}" for name, value in one.items()) for one in provenance["measured_with"]]
        more = {name: provenance[name] for name in ("agent", "machine", "made") if name in provenance}
        yield Section(
            f"Where it comes from: {kinds[about['kind']]}",
            [f"Measured with {one}." for one in measured],
            [
                ("Simulators, by the sha256 of their contents and of the traces they learned from", simulators),
                ("Options", _texts(about["options"])),
                ("Versions", _texts({**provenance["versions"], **more})),
            ],
        )


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


#: By kind of result, in the order of a page.
SECTIONS: dict[str, Callable[[Description, Path], Iterator[Section]]] = {
    "training": _training,
    "table5": _table5,
    "validation": _validation,
}

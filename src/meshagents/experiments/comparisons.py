"""What the paper concludes from Table 5, tested: effect sizes with intervals, run against run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meshagents.experiments.jobs import Job, run_jobs
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.statistics import Effect, paired_effect
from meshagents.training.configurations import CONFIGURATIONS
from meshagents.training.loop import ROLLING_EPOCHS, rolling_mean
from meshagents.training.tasks import Task
from meshgym.types import Progress

#: What is measured of a run, and whether more of it is better.
MEASURES: dict[str, bool] = {"share": True, "epochs_to_95": False, "unrest": False}
_KEY = ["scenario", "service", "seed"]
_SINGLE = [configuration.name for configuration in CONFIGURATIONS if configuration.control != "both"]
_DEPENDENT = ("Thread-Call", "Call-Thread")


@dataclass(frozen=True)
class Comparison:
    """One measure of two kinds of agents, paired by scenario and seed.

    Attributes:
        question: what is compared.
        measure: ``"share"`` of the oracle's reward (of the oracle of both controls where the two do not have
            the same one), ``"epochs_to_95"`` until the rolling ratio first reaches 95 % of the run's best, or
            ``"unrest"``, the standard deviation of the ratio over the last 25 epochs in shares of its mean.
        effect: how far the first lies above the second.
    """

    question: str
    measure: str
    effect: Effect

    @property
    def answer(self) -> str:
        """``"yes"`` where the first is better, ``"no"`` where it is worse, else ``"undecided"``."""
        if self.effect.verdict == "undecided":
            return "undecided"
        return "yes" if (self.effect.verdict == "above") == MEASURES[self.measure] else "no"


def measures(frame: pd.DataFrame) -> pd.DataFrame:
    """The records of runs with :data:`MEASURES` as columns, and ``joint_share``, the share of both controls' oracle."""
    rolling = [rolling_mean(np.array(curve)) for curve in frame["curve"]]
    last = [np.array(curve[-ROLLING_EPOCHS:]) for curve in frame["curve"]]
    return frame.assign(
        share=frame["agent"] / frame["oracle"],
        joint_share=frame["agent"] / frame["joint_oracle"],
        epochs_to_95=[int(np.argmax(ratio >= 0.95 * ratio.max())) + 1 for ratio in rolling],
        unrest=[float(ratio.std() / ratio.mean()) for ratio in last],
    )


def score(frame: pd.DataFrame) -> list[Comparison]:
    """The paper's three claims on the records of Table 5; a claim without its rows is left out."""
    runs = measures(frame)
    alone, together = runs[~runs["label"].str.contains(r"\*")], runs[runs["label"].str.contains(r"\*")]
    found = []
    found += _compare("multi better than single", _best_multi(alone), _best_single(alone), share="joint_share")
    dependent = alone[alone["label"].isin(_DEPENDENT)]
    independent = alone[alone["label"] == "Thread&Call"]
    found += _compare("dependent better than independent", _average(dependent), _average(independent))
    apart = alone.assign(row=alone["label"])
    joined = together.assign(row=together["label"].str.replace(r"\*.*", "", regex=True))
    found += _compare("collaborative better than separate", joined, apart, key=["scenario", "seed", "row"])
    return found


def _average(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean over configurations of the same scenario and seed."""
    return runs.groupby(_KEY, as_index=False)[[*MEASURES, "joint_share"]].mean()


def _best_single(alone: pd.DataFrame) -> pd.DataFrame:
    """The better of thread and call agent, by mean share over seeds, scenario by scenario."""
    singles = alone[alone["label"].isin(_SINGLE)]
    if singles.empty:
        return singles
    best = singles.groupby(["scenario", "label"])["joint_share"].mean().groupby("scenario").idxmax()
    return singles.set_index(["scenario", "label"]).loc[best].reset_index()


def _best_multi(alone: pd.DataFrame) -> pd.DataFrame:
    """All pairs, averaged."""
    return _average(alone[~alone["label"].isin(_SINGLE)])


def _compare(
    question: str, above: pd.DataFrame, below: pd.DataFrame, key: Sequence[str] = _KEY, share: str = "share"
) -> list[Comparison]:
    pairs = above.merge(below, on=list(key), suffixes=("", "_below"))
    if pairs.empty:
        return []
    columns = {measure: share if measure == "share" else measure for measure in MEASURES}
    return [
        Comparison(question, measure, paired_effect(pairs[column], pairs[f"{column}_below"]))
        for measure, column in columns.items()
    ]


#: What is taken away from the collaborative learner, or put there instead.
ABLATIONS: dict[str, dict[str, Any]] = {
    "SNet not shared": {"shared": False},
    "without prediction": {"prediction_weight": 0.0},
    "SNet by prediction only": {"q_weight": 0.0, "prediction_weight": 1.0},
    "without control variate": {"control_variate": False},
}
#: Contexts of the ablations: independent draws, and a walk, in which the next state can be predicted.
CONTEXTS = ("uniform", "walk")


def ablation_jobs(
    services: tuple[Task, ...], hyperparameters: Hyperparameters, seeds: int, configuration: str = "Thread-Call"
) -> list[Job]:
    """The collaborative learner whole and with each ablation, under each kind of contexts."""
    variants = {"whole": hyperparameters} | {
        name: replace(hyperparameters, **change) for name, change in ABLATIONS.items()
    }
    return [
        Job(configuration, services, seed, variant, contexts, f"{name}, {contexts}")
        for contexts in CONTEXTS
        for name, variant in variants.items()
        for seed in range(seeds)
    ]


def run_ablations(
    services: tuple[Task, ...],
    hyperparameters: Hyperparameters,
    seeds: int,
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do all ablations that are not yet in ``folder``, see :func:`meshagents.experiments.jobs.run_jobs`."""
    return run_jobs(ablation_jobs(services, hyperparameters, seeds), folder, n_jobs, backend, progress)


def score_ablations(frame: pd.DataFrame) -> list[Comparison]:
    """The whole learner against each ablation."""
    runs = measures(frame)
    found = []
    for variant in dict.fromkeys(runs["variant"]):
        name, contexts = variant.rsplit(", ", 1)
        if name != "whole":
            whole = runs[runs["variant"] == f"whole, {contexts}"]
            found += _compare(
                f"whole better than {name} ({contexts} contexts)", whole, runs[runs["variant"] == variant]
            )
    return found


def to_frame(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row a comparison: for a CSV file."""
    rows = [{**asdict(comparison), "answer": comparison.answer} for comparison in comparisons]
    return pd.json_normalize(rows, sep="_")


def markdown(comparisons: Sequence[Comparison]) -> str:
    """A table: the question, the measure, the difference with its interval, the effect size, the answer."""
    lines = ["| claim | measure | difference | Cohen's d | pairs | holds |", "| --- | --- | --- | --- | --- | --- |"]
    for comparison in comparisons:
        effect = comparison.effect
        cells = [comparison.question, comparison.measure, str(effect.difference), f"{effect.size:.2f}"]
        lines.append(f"| {' | '.join([*cells, str(effect.pairs), comparison.answer])} |")
    return "\n".join(lines)

"""What the paper concludes from Table 5, tested: effect sizes with intervals, training against training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from meshagents.experiments.jobs import Job, groups
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.statistics import paired_effect, spread
from meshagents.training.configurations import CONFIGURATIONS
from meshagents.training.loop import ROLLING_EPOCHS, rolling_mean
from meshagents.training.tasks import Task

#: Measures of a training, and whether more of it is better: the share of the oracle's reward, the epochs until the
#: rolling ratio first reaches 95 % of the training's best, and the standard deviation of the ratio over the last 25
#: epochs in shares of its mean.
MEASURES: dict[str, bool] = {"share": True, "epochs_to_95": False, "unrest": False}
_COLUMNS = ["question", "measure", "difference", "size", "pairs", "holds"]
_KEY = ("scenario", "task", "seed")
_SINGLE = [configuration.name for configuration in CONFIGURATIONS if configuration.decides != "both"]


def measures(frame: pd.DataFrame) -> pd.DataFrame:
    """Return records with :data:`MEASURES` as columns, and ``joint_share``, the share of both controls' oracle."""
    rolling = [rolling_mean(np.array(curve)) for curve in frame["curve"]]
    last = [np.array(curve[-ROLLING_EPOCHS:]) for curve in frame["curve"]]
    return frame.assign(
        share=frame["agent"] / frame["oracle"],
        joint_share=frame["agent"] / frame["joint_oracle"],
        epochs_to_95=[int(np.argmax(ratio >= 0.95 * ratio.max())) + 1 for ratio in rolling],
        unrest=[float(ratio.std() / ratio.mean()) for ratio in last],
    )


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """Test the paper's three claims on the records of Table 5.

    Returns:
        One row per claim and measure, paired by scenario and seed: ``question``, ``measure``, ``difference`` of first
        and second (``Interval``), ``size`` (Cohen's d), ``pairs``, and ``holds``: ``"yes"`` if the first is better,
        ``"no"`` if it is worse, else ``"undecided"``. Agents that control different things are compared by their share
        of the oracle of both controls. A claim without its rows is left out.
    """
    trainings = measures(frame)
    alone, together = trainings[trainings["services"] == 1], trainings[trainings["services"] > 1]
    single, parallel = alone["configuration"].isin(_SINGLE), alone["configuration"] == "Thread&Call"
    multi, best_single = _average(alone[~single]), _best_by_scenario(alone[single])
    dependent, independent = _average(alone[~single & ~parallel]), _average(alone[parallel])
    same = ("scenario", "seed", "configuration")
    found = [
        *_compare("multi better than single", multi, best_single, share="joint_share"),
        *_compare("dependent better than independent", dependent, independent),
        *_compare("collaborative better than separate", together, alone, same),
    ]
    return pd.DataFrame(found, columns=_COLUMNS)


def _average(trainings: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over configurations of the same scenario and seed."""
    return trainings.groupby(list(_KEY), as_index=False)[[*MEASURES, "joint_share"]].mean()


def _best_by_scenario(trainings: pd.DataFrame) -> pd.DataFrame:
    """Keep each scenario's best configuration by mean share over seeds."""
    if trainings.empty:
        return trainings
    cell = ["scenario", "configuration"]
    best = trainings.groupby(cell)["joint_share"].mean().groupby("scenario").idxmax()
    return trainings.set_index(cell).loc[best].reset_index()


def _compare(
    question: str, above: pd.DataFrame, below: pd.DataFrame, key: Sequence[str] = _KEY, share: str = "share"
) -> Iterator[tuple[Any, ...]]:
    """Yield a row of :func:`score` per measure."""
    pairs = above.merge(below, on=list(key), suffixes=("", "_below"))
    for measure, more_is_better in MEASURES.items() if len(pairs) else ():
        column = share if measure == "share" else measure
        effect = paired_effect(pairs[column], pairs[f"{column}_below"])
        answers = {"undecided": "undecided", "above": "no", "below": "yes"}
        if more_is_better:
            answers |= {"above": "yes", "below": "no"}
        yield question, measure, effect.difference, effect.size, effect.pairs, answers[effect.verdict]


#: What is taken away from the collaborative learner, or put there instead.
ABLATIONS: dict[str, dict[str, Any]] = {
    "SNet not shared": {"shared": False},
    "without prediction": {"prediction_weight": 0.0},
    "SNet by prediction only": {"q_weight": 0.0, "prediction_weight": 1.0},
    "without control variate": {"control_variate": False},
}
#: The learner without any of them.
WHOLE = "whole"
#: How the contexts of ablations are drawn: independently, or as a walk, in which the next state can be predicted.
CONTEXTS = ("uniform", "walk")


def ablation_jobs(
    tasks: tuple[Task, ...], hyperparameters: Hyperparameters, seeds: int, configuration: str = "Thread-Call"
) -> list[Job]:
    """Return the trainings of the collaborative learner, whole and with each ablation, under each kind of contexts.

    :func:`meshagents.experiments.jobs.run_jobs` does them.
    """
    return [
        Job(configuration, tasks, seed, replace(hyperparameters, **change), contexts, name)
        for contexts in CONTEXTS
        for name, change in {WHOLE: {}, **ABLATIONS}.items()
        for seed in range(seeds)
    ]


def score_ablations(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare the whole learner with each ablation; columns as :func:`score`, the interval as three columns."""
    found: list[tuple[Any, ...]] = []
    for (drawn,), trainings in groups(measures(frame), ["drawn"]):
        by_name = {name: part for (name,), part in groups(trainings, ["ablation"])}
        whole = by_name.pop(WHOLE)
        for name, part in by_name.items():
            found += _compare(f"{WHOLE} better than {name} ({drawn} contexts)", whole, part)
    return spread(pd.DataFrame(found, columns=_COLUMNS))

"""Test what the paper concludes from Table 5: effect sizes with intervals, training against training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meshagents.experiments.jobs import Job, run_jobs
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.statistics import paired_effect
from meshagents.training.configurations import CONFIGURATIONS
from meshagents.training.loop import ROLLING_EPOCHS, rolling_mean
from meshagents.training.tasks import Task
from meshgym.types import Progress

#: What is compared, and whether more of it is better: ``share`` of the oracle's reward (of the oracle of both controls
#: if the two differ in theirs); ``epochs_to_95``, until the rolling ratio first reaches 95 % of the training's best;
#: ``unrest``, the standard deviation of the ratio over the last 25 epochs as a share of its mean.
MEASURES: dict[str, bool] = {"share": True, "epochs_to_95": False, "unrest": False}
_PAIR = ["scenario", "task", "seed"]
_SINGLE = [configuration.name for configuration in CONFIGURATIONS if configuration.control != "both"]
_DEPENDENT = ["Thread-Call", "Call-Thread"]


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
    """Test the paper's three claims on the records of Table 5; leave out a claim without its rows.

    Returns:
        One row per claim and measure: ``claim``, ``measure``, ``difference`` (of the first and the second, paired by
        scenario and seed, with its 95 % ``Interval``), ``size`` (Cohen's d), ``pairs`` and ``holds`` (``"yes"`` if the
        first is better, ``"no"`` if it is worse, else ``"undecided"``).
    """
    found = measures(frame)
    alone, together = found[found["services"] == 1], found[found["services"] > 1]
    pairs = alone[~alone["configuration"].isin(_SINGLE)]
    dependent = alone[alone["configuration"].isin(_DEPENDENT)]
    independent = alone[alone["configuration"] == "Thread&Call"]
    return _table(
        _compare("multi better than single", _average(pairs), _best_single(alone), share="joint_share"),
        _compare("dependent better than independent", _average(dependent), _average(independent)),
        _compare("collaborative better than separate", together, alone, ["scenario", "seed", "configuration"]),
    )


def _average(frame: pd.DataFrame) -> pd.DataFrame:
    """Return means over configurations of the same scenario and seed."""
    return frame.groupby(_PAIR, as_index=False)[[*MEASURES, "joint_share"]].mean()


def _best_single(alone: pd.DataFrame) -> pd.DataFrame:
    """Return the better of Thread and Call, by mean share over seeds, scenario by scenario."""
    singles = alone[alone["configuration"].isin(_SINGLE)]
    if singles.empty:
        return singles
    best = singles.groupby(["scenario", "configuration"])["joint_share"].mean().groupby("scenario").idxmax()
    return singles.set_index(["scenario", "configuration"]).loc[best].reset_index()


def _compare(
    claim: str, above: pd.DataFrame, below: pd.DataFrame, key: Sequence[str] = _PAIR, share: str = "share"
) -> list[dict[str, Any]]:
    pairs = above.merge(below, on=list(key), suffixes=("", "_below"))
    rows = []
    for measure, more_is_better in MEASURES.items() if len(pairs) else ():
        column = share if measure == "share" else measure
        effect = paired_effect(pairs[column], pairs[f"{column}_below"])
        holds = {"undecided": "undecided", "above" if more_is_better else "below": "yes"}.get(effect.verdict, "no")
        rows.append({"claim": claim, "measure": measure, **vars(effect), "holds": holds})
    return rows


def _table(*comparisons: list[dict[str, Any]]) -> pd.DataFrame:
    columns = ["claim", "measure", "difference", "size", "pairs", "holds"]
    return pd.DataFrame([row for rows in comparisons for row in rows], columns=columns)


#: What the collaborative learner is deprived of, or given instead.
ABLATIONS: dict[str, dict[str, Any]] = {
    "SNet not shared": {"shared": False},
    "without prediction": {"prediction_weight": 0.0},
    "SNet by prediction only": {"q_weight": 0.0, "prediction_weight": 1.0},
    "without control variate": {"control_variate": False},
}
#: How contexts are drawn: independently, and on a walk, in which the next observation can be predicted.
CONTEXTS = ("uniform", "walk")


def ablation_jobs(
    tasks: tuple[Task, ...], hyperparameters: Hyperparameters, seeds: int, configuration: str = "Thread-Call"
) -> list[Job]:
    """Return the trainings of the whole collaborative learner and of each ablation, for both kinds of contexts."""
    return [
        Job(configuration, tasks, seed, replace(hyperparameters, **change), contexts, ablation)
        for contexts in CONTEXTS
        for ablation, change in {"": {}, **ABLATIONS}.items()
        for seed in range(seeds)
    ]


def run_ablations(
    tasks: tuple[Task, ...],
    hyperparameters: Hyperparameters,
    seeds: int,
    folder: Path,
    n_jobs: int = -1,
    backend: str = "loky",
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Do all ablations that ``folder`` doesn't hold yet; see :func:`meshagents.experiments.jobs.run_jobs`."""
    return run_jobs(ablation_jobs(tasks, hyperparameters, seeds), folder, n_jobs, backend, progress)


def score_ablations(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare the whole learner with each ablation; the columns are those of :func:`score`."""
    found = measures(frame)
    whole = found[found["ablation"] == ""]
    return _table(
        *(
            _compare(f"whole better than {ablation} ({drawn} contexts)", whole, part, [*_PAIR, "drawn"])
            for (drawn, ablation), part in found.groupby(["drawn", "ablation"], sort=False)
            if ablation
        )
    )

"""The gap between simulated and measured: its size, also beside the noise, and the inputs it depends on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from meshagents.statistics import mean_interval, spread
from meshagents.validation.objectives import kept
from meshagents.validation.validate import Validated, summary
from meshgym.fields import settings_among
from meshgym.slo.objective import Objective
from meshgym.traces.outcomes import FIRST
from meshgym.traces.quality import explain, group_by_setting, pure_error

#: The gap is put down to inputs only from this many different settings on.
LEAST_SETTINGS = 30


def tables(found: Sequence[Validated], seed: int = 0, objectives: Sequence[Objective] = ()) -> dict[str, pd.DataFrame]:
    """Return everything there is to write and to show about validations.

    Args:
        found: one for each scenario.
        seed: see :func:`blame`.
        objectives: what decisions should keep.

    Returns:
        Tables by name. Each begins with the column ``scenario``, and has an interval as three columns.

        - ``"validation"``: every decision, see :func:`meshagents.validation.validate.compare`.
        - ``"ratios"``: rewards by ``policy``, see :func:`meshagents.validation.validate.summary`.
        - ``"gaps"``, ``"gap_inputs"``: see :func:`gaps` and :func:`blame`.
        - ``"objectives"``, if there are any: see :func:`meshagents.validation.objectives.kept`.
        - ``"counts"``: ``contexts``, those ``left_out``, ``settings`` and ``runs`` of each scenario.
    """
    makers: dict[str, Callable[[Validated], pd.DataFrame]] = {
        "validation": lambda one: one.replayed,
        "ratios": lambda one: summary(one.replayed).rename_axis("policy").reset_index(),
        "gaps": gaps,
        "gap_inputs": lambda one: blame(one, seed),
        "counts": _counts,
    }
    if objectives:
        makers["objectives"] = lambda one: kept(one, objectives)
    parts = {name: {one.scenario: make(one) for one in found} for name, make in makers.items()}
    whole = {name: pd.concat(part, names=["scenario"]).reset_index("scenario") for name, part in parts.items()}
    return {name: spread(table.reset_index(drop=True)) for name, table in whole.items()}


def _counts(one: Validated) -> pd.DataFrame:
    counts = {
        "contexts": one.replayed["context"].nunique(),
        "left_out": one.left_out,
        "settings": one.runs.groupby(list(settings_among(one.runs))).ngroups,
        "runs": len(one.runs),
    }
    return pd.DataFrame([counts])


def gaps(validated: Validated) -> pd.DataFrame:
    """Return measured minus simulated, over all different settings and over those that each policy chose.

    Returns:
        One row per output and policy (``"all"`` for all settings, each once):

        - ``measured``, ``simulated``: means, in 1/s or as a share.
        - ``bias``: mean of measured minus simulated, with its 95 % ``Interval``.
        - ``rms``: root mean square of that over settings; it includes what is left of the noise after averaging
          the repeats.
        - ``noise``: standard deviation of single runs of one setting; NaN without repeats.
        - ``multiple``: ``rms / noise``.
        - ``covered``: share of single runs inside the simulator's 90 % interval (of all settings only, else NaN).
    """
    replayed, runs = validated.replayed, validated.runs
    whole = replayed.drop_duplicates(list(settings_among(replayed)))
    rows = []
    for output in FIRST:
        noise = repeat_noise(runs, output)
        for policy, chosen in [("all", whole), *replayed.groupby("policy", sort=False)]:
            difference = chosen[f"{output}_live"] - chosen[f"{output}_sim"]
            rms = float(np.sqrt(np.square(difference).mean()))
            rows.append(
                {
                    "output": output,
                    "policy": policy,
                    "measured": chosen[f"{output}_live"].mean(),
                    "simulated": chosen[f"{output}_sim"].mean(),
                    "bias": mean_interval(difference),
                    "rms": rms,
                    "noise": noise,
                    "multiple": rms / noise if noise else math.inf,
                    "covered": _covered(validated, output) if policy == "all" else math.nan,
                }
            )
    return pd.DataFrame(rows)


def repeat_noise(runs: pd.DataFrame, output: str) -> float:
    """Return the standard deviation of runs around the mean of their setting; NaN without repeats."""
    group = group_by_setting(runs[list(settings_among(runs))].to_numpy(np.float64))
    return math.sqrt(pure_error(runs[output].to_numpy(np.float64), group))


def _covered(validated: Validated, output: str) -> float:
    """Return the share of runs inside the simulator's 90 % interval."""
    intervals = validated.simulator.intervals(validated.runs[list(validated.simulator.identity.settings)])
    return float(validated.runs[output].between(*intervals[output].T).mean())


def blame(validated: Validated, seed: int = 0) -> pd.DataFrame:
    """Find the inputs that the gap depends on.

    A model of measured minus simulated is fitted to the different settings and tested on settings it hasn't seen.
    An input's importance is how much the explained variance falls when its values are shuffled.

    Args:
        validated: the measurements.
        seed: seed of folds, model and shuffles.

    Returns:
        One row per output and input, the most important first: ``output``, ``input``, ``importance`` (shares of the
        gap's variance) and ``explained`` (by all inputs together, 0 if the model finds nothing). Empty with fewer than
        ``LEAST_SETTINGS`` settings.
    """
    names = list(validated.simulator.identity.settings)
    whole = validated.replayed.drop_duplicates(names)
    columns = ["output", "input", "importance", "explained"]
    rows = []
    for output in FIRST if len(whole) >= LEAST_SETTINGS else ():
        difference = (whole[f"{output}_live"] - whole[f"{output}_sim"]).to_numpy(np.float64)
        if np.ptp(difference) == 0:
            continue
        explanation = explain(whole[names].to_numpy(np.float64), difference, np.arange(len(whole)), seed, names)
        ranked = sorted(explanation.effects.items(), key=lambda pair: -pair[1])
        rows += [(output, name, max(share, 0.0), max(explanation.share, 0.0)) for name, share in ranked]
    return pd.DataFrame(rows, columns=columns)

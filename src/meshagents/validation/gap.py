"""The gap between simulated and measured: its size, its size beside the noise, and the inputs it depends on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from meshagents.statistics import mean_interval
from meshagents.validation.validate import Validated, summary
from meshgym.simulator.artefact import NINETY
from meshgym.traces.quality import OUTPUTS, explain, pure_error
from meshgym.types import SETTING_NAMES

#: Number of different settings from which on the gap is attributed to inputs.
LEAST_SETTINGS = 30
_SETTINGS = list(SETTING_NAMES)


def gaps(validated: Validated) -> pd.DataFrame:
    """Return measured less simulated, over all different settings and over those that each policy chose.

    Returns:
        One row per output and policy (``"all"`` for all settings, each once):

        - ``measured``, ``simulated``: means, in 1/s or as a share.
        - ``bias``: mean of measured less simulated, with its 95 % ``Interval``.
        - ``rms``: root mean square of the same over settings. It includes the noise that is left after averaging
          the repeats.
        - ``noise``: standard deviation of single runs of one setting; NaN if nothing was repeated.
        - ``multiple``: ``rms / noise``.
        - ``covered``: share of single runs inside the simulator's 90 % interval; NaN but for all settings.
    """
    compared, runs = validated.compared, validated.runs
    group = runs.groupby(_SETTINGS).ngroup().to_numpy(np.int64)
    rows = []
    for output in OUTPUTS:
        noise = math.sqrt(pure_error(runs[output].to_numpy(np.float64), group))
        whole = compared.drop_duplicates(_SETTINGS)
        for policy, chosen in [("all", whole), *compared.groupby("policy", sort=False)]:
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


def _covered(validated: Validated, output: str) -> float:
    """Return the share of runs inside the simulator's 90 % interval."""
    predicted = validated.simulator.predict(validated.runs[_SETTINGS])
    middle, spread = getattr(predicted, output), getattr(predicted, f"{output}_std")
    return float((np.abs(validated.runs[output] - middle) <= NINETY * spread).mean())


def attribution(validated: Validated, seed: int = 0) -> pd.DataFrame:
    """Return the inputs that the gap depends on.

    A model of measured less simulated is fitted to the different settings and tested on settings that it hasn't
    seen. An input's importance is how much the explained variance falls when its values are shuffled.

    Args:
        validated: what was measured.
        seed: seed of folds, model and shuffles.

    Returns:
        One row per output and input, the most important first: ``output``, ``input``, ``importance`` (share of the
        gap's variance) and ``explained`` (by all inputs together, 0 if the model finds nothing). Empty with fewer
        than ``LEAST_SETTINGS`` settings.
    """
    whole = validated.compared.drop_duplicates(_SETTINGS)
    columns = ["output", "input", "importance", "explained"]
    if len(whole) < LEAST_SETTINGS:
        return pd.DataFrame(columns=columns)
    settings = whole[_SETTINGS].to_numpy(np.float64)
    rows = []
    for output in OUTPUTS:
        difference = (whole[f"{output}_live"] - whole[f"{output}_sim"]).to_numpy(np.float64)
        if np.ptp(difference) == 0:
            continue
        explanation = explain(settings, difference, np.arange(len(whole)), seed)
        ranked = sorted(explanation.effects.items(), key=lambda pair: -pair[1])
        rows += [(output, name, max(share, 0.0), max(explanation.share, 0.0)) for name, share in ranked]
    return pd.DataFrame(rows, columns=columns)


def tables(validated: list[Validated], seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return everything that a validation says, as tables with a column ``scenario``.

    Args:
        validated: one per scenario.
        seed: seed of :func:`attribution`.

    Returns:
        ``"validation"`` (see :func:`meshagents.validation.validate.compare`), ``"ratios"`` (see
        :func:`meshagents.validation.validate.summary`), ``"gaps"`` and ``"gap_inputs"`` (see :func:`attribution`).
    """
    parts = {
        "validation": [one.compared for one in validated],
        "ratios": [summary(one.compared).reset_index() for one in validated],
        "gaps": [gaps(one) for one in validated],
        "gap_inputs": [attribution(one, seed) for one in validated],
    }
    names = [one.scenario for one in validated]
    return {
        name: pd.concat(frames, keys=names, names=["scenario"]).reset_index("scenario").reset_index(drop=True)
        for name, frames in parts.items()
    }

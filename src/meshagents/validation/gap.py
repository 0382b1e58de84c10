"""The gap between simulated and measured: how large, how large beside the noise, and which inputs it depends on."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meshagents.statistics import mean_interval
from meshagents.validation.validate import Validated
from meshgym.simulator.artefact import NINETY
from meshgym.traces.quality import OUTPUTS, explain, pure_error
from meshgym.types import SETTING_NAMES

FloatArray = NDArray[np.float64]
#: A gap of more than so many times the noise is called large.
LARGE = 2.0
#: Different settings from which on a gap is put down to inputs.
LEAST_SETTINGS = 30
UNITS = {"qps": " 1/s", "p503": ""}
_SETTINGS = list(SETTING_NAMES)


def gaps(validated: Validated) -> pd.DataFrame:
    """Measured less simulated, over all different settings and over those that each policy chose.

    Returns:
        One row an output and policy (``"all"`` for all settings, each once):

        - ``measured``, ``simulated``: means, in 1/s or as a share.
        - ``bias``: mean of measured less simulated, with its 95 % ``Interval``.
        - ``rms``: root mean square of that over settings; what is left of the noise after averaging the
          repeats is in it.
        - ``noise``: standard deviation of single runs of one setting; NaN where nothing was repeated.
        - ``multiple``: ``rms / noise``.
        - ``covered``: share of single runs inside the simulator's 90 % interval (of all settings only, else NaN).
    """
    replayed, runs = validated.replayed, validated.runs
    rows = []
    for output in OUTPUTS:
        noise = repeat_noise(runs, output)
        whole = replayed.drop_duplicates(_SETTINGS)
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
    """Standard deviation of runs around the mean of their setting; NaN where nothing was repeated."""
    return float(np.sqrt(pure_error(runs[output].to_numpy(), runs.groupby(_SETTINGS).ngroup().to_numpy())))


def _covered(validated: Validated, output: str) -> float:
    """Share of the runs inside the simulator's 90 % interval."""
    said = validated.simulator.predict(validated.runs[_SETTINGS])
    middle, spread = getattr(said, output), getattr(said, f"{output}_std")
    return float((np.abs(validated.runs[output] - middle) <= NINETY * spread).mean())


def blame(validated: Validated, seed: int = 0) -> pd.DataFrame:
    """Which inputs the gap depends on.

    A model of measured less simulated is fitted to the different settings and tested on settings it has not seen;
    an input counts as much as the explained variance falls when its values are shuffled.

    Args:
        validated: what was measured.
        seed: of folds, model and shuffles.

    Returns:
        One row an output and input, the most important first: ``output``, ``input``, ``importance`` (shares of the
        gap's variance) and ``explained`` (by all inputs together, 0 where the model finds nothing). Empty with
        fewer than ``LEAST_SETTINGS`` settings.
    """
    whole = validated.replayed.drop_duplicates(_SETTINGS)
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


def in_words(found: pd.DataFrame, blamed: pd.DataFrame) -> list[str]:
    """A sentence an output: how large the gap is, and where it is large, how much of it depends on which inputs."""
    gaps_of_all = found[found["policy"] == "all"].to_dict("records")
    return [_sentence(gap, blamed[blamed["output"] == gap["output"]]) for gap in gaps_of_all]


def _sentence(gap: dict[Hashable, Any], blamed: pd.DataFrame) -> str:
    unit, bias = UNITS[gap["output"]], gap["bias"].estimate
    size = f"{gap['output']}: {gap['rms']:.3g}{unit} off (root mean square), {bias:+.3g}{unit} on average"
    if not math.isfinite(gap["multiple"]):
        return f"{size}; there is no noise between repeats to compare it with."
    size += f"; {gap['multiple']:.1f} times the noise between repeats ({gap['noise']:.3g})"
    if gap["multiple"] <= LARGE:
        return f"{size}: small."
    same = f"{size}: large. {bias**2 / gap['rms'] ** 2:.0%} of its square is the same everywhere; "
    explained = blamed["explained"].max() if len(blamed) else 0
    if not explained:
        return f"{same}no input explains the rest."
    pairs = zip(blamed["input"][:3], blamed["importance"][:3], strict=True)
    first = ", ".join(f"{name} ({share:.0%})" for name, share in pairs if share > 0)
    return f"{same}the inputs explain {explained:.0%} of the rest, first of all {first}."

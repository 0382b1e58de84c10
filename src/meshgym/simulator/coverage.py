"""How often the 90 % intervals of a simulator hold on runs that it hasn't learned from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from meshgym.errors import SimulatorError
from meshgym.rewards import apply_reward, load_reward
from meshgym.scenarios import Scenario
from meshgym.simulator.arrays import TraceArrays
from meshgym.simulator.artefact import Simulator
from meshgym.simulator.training import inside
from meshgym.traces.store import trace_hash

#: The share of the test part that counts as "at chosen loads".
CHOSEN_SHARE = 0.1


def coverage(frame: pd.DataFrame, simulator: Simulator, scenario: Scenario) -> pd.DataFrame:
    """Count how many runs of the test part lie within their 90 % intervals.

    An agent picks the load with the highest prediction, and so picks what is predicted too high. Those runs count as
    "at chosen loads" whose predicted 503s per second come nearest to the most that any action gets under their rules.

    Args:
        frame: the traces that the simulator was fitted to.
        simulator, scenario: what is judged.

    Returns:
        One row per outcome: ``overall`` and ``chosen`` (shares), ``runs`` and ``chosen_runs``.

    Raises:
        SimulatorError: it was fitted to other traces.
    """
    if simulator.identity.traces != trace_hash(frame):
        raise SimulatorError(
            f"the simulator for {scenario.name} was fitted to other traces, so its test part isn't known. Give those, "
            f"or fit it again: meshgym fit --scenario {scenario.name}"
        )
    whole = TraceArrays.of(frame)
    test = whole.part(whole.split(simulator.identity.seed)[1])
    nearness = _nearness(test.settings, simulator, scenario)
    chosen = nearness >= np.quantile(nearness, 1 - CHOSEN_SHARE)
    rows, intervals = {}, simulator.intervals(test.settings)
    for name, measured in test.measured().items():
        known, held = ~np.isnan(measured), inside(intervals[name], measured)
        rows[name] = {
            "overall": held[known].mean(),
            "chosen": held[known & chosen].mean() if (known & chosen).any() else np.nan,
            "runs": known.sum(),
            "chosen_runs": (known & chosen).sum(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("outcome").reset_index()


def _nearness(settings: Any, simulator: Simulator, scenario: Scenario) -> Any:
    """Return each run's predicted 503s per second over the most that an action gets under its rules."""
    reward = load_reward("worst_case")
    loads = np.array(list(itertools.product(*scenario.actions.values())), dtype=np.float64)
    rules, number = np.unique(settings[:, : len(scenario.rules)], axis=0, return_inverse=True)
    tried = (np.column_stack([np.tile(row, (len(loads), 1)), loads]) for row in rules)
    most = np.array([apply_reward(reward, simulator.predict(each)).max() for each in tried])
    return apply_reward(reward, simulator.predict(settings)) / np.maximum(most[number.ravel()], 1e-9)


def to_text(found: Mapping[str, pd.DataFrame]) -> str:
    """Return coverage tables by set as text."""
    lines = [f"{'set':<6}{'outcome':<20}{'overall':>10}{'at chosen loads':>18}{'runs':>8}{'chosen':>8}"]
    for name, table in found.items():
        for row in table.itertuples():
            shares = f"{row.overall:10.3f}{row.chosen:18.3f}"
            lines.append(f"{name:<6}{row.outcome:<20}{shares}{row.runs:8d}{row.chosen_runs:8d}")
    return "\n".join(lines)

"""How often decisions keep service level objectives, as predicted and as measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from meshagents.statistics import share_interval
from meshagents.validation.validate import Validated
from meshgym.slo.objective import Objective, margin
from meshgym.types import RESPONSE_NAMES, Response, further_outcomes


def kept(found: Validated, objectives: Sequence[Objective]) -> pd.DataFrame:
    """Return how often each policy's decisions keep all objectives.

    Args:
        found: the measurements of a scenario.
        objectives: what must be kept.

    Returns:
        One row per policy: ``policy``, ``runs``, ``kept`` (of the runs), ``share`` (with its 95 % ``Interval``), and
        ``expected``, the share of its decisions that the simulator expects to keep them.
    """
    names = list(found.simulator.identity.settings)
    runs = found.runs.assign(kept=margin(objectives, _measured(found.runs)) >= 0)[[*names, "kept"]]
    rows = []
    for policy, decided in found.replayed.groupby("policy", sort=False):
        own = decided[names].merge(runs, on=names)["kept"]
        expected = margin(objectives, found.simulator.predict(decided[names])) >= 0
        share = share_interval(int(own.sum()), len(own))
        rows.append([policy, len(own), int(own.sum()), share, float(np.mean(expected))])
    return pd.DataFrame(rows, columns=["policy", "runs", "kept", "share", "expected"])


def _measured(runs: pd.DataFrame) -> Response:
    """Return all runs as one response."""
    told = further_outcomes({str(name): runs[name].to_numpy() for name in runs}, runs["calls"].to_numpy())
    return Response(*(runs[name].to_numpy() for name in RESPONSE_NAMES), details=told)

"""A search as the plan of a collection: it grows as results come in, and goes on after a stop."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.adaptive.caution import Caution
from meshgym.adaptive.search import Search
from meshgym.scenarios import Scenario
from meshgym.traces.plan import Plan
from meshgym.types import RESPONSE_NAMES, Response

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class AdaptivePlan:
    """Asks a new search, told everything that was measured, after each batch; see :class:`Search`.

    Attributes:
        scenario, goal, runs, seed, regret, caution: as of a search.
    """

    scenario: Scenario
    goal: str = "worst-load"
    runs: int = 150
    seed: int = 0
    regret: float | None = None
    caution: Caution | None = None

    def about(self) -> dict[str, Any]:
        """Return what must be the same when a collection goes on."""
        limits = asdict(self.caution) if self.caution else {}
        careful = {name: limit for name, limit in limits.items() if math.isfinite(limit)}  # JSON knows no infinity
        return {"goal": self.goal, "runs": self.runs, "regret": self.regret, **careful}

    def first(self) -> Plan:
        """Return the runs that cover the ranges."""
        return _plan(self.scenario, *self._search().ask())

    def longer(self, plan: Plan, measured: Mapping[int, Mapping[str, float]]) -> Plan | None:
        """Return a plan that goes on; None if there is nothing more to ask.

        Args:
            plan: what was asked before.
            measured: columns of the runs that came of it, by their number in the plan.
        """
        batch = self._told(plan, measured).ask()
        if not len(batch.settings):
            return None
        asked = np.zeros(len(plan), np.int64) if plan.asked is None else plan.asked
        return _plan(
            self.scenario, np.concatenate([plan.settings, batch.settings]), np.concatenate([asked, batch.asked])
        )

    def bound(self, plan: Plan, measured: Mapping[int, Mapping[str, float]]) -> float | None:
        """Return the most that a decision costs, see :meth:`Search.regret`; None for the goal ``"map"``."""
        return None if self.goal == "map" else self._told(plan, measured).regret()

    def _told(self, plan: Plan, measured: Mapping[int, Mapping[str, float]]) -> Search:
        search, runs = self._search(), sorted(measured)
        columns = (np.array([measured[run][name] for run in runs]) for name in RESPONSE_NAMES)
        search.tell(plan.settings[runs], Response(*columns))
        search.asked = len(plan)
        return search

    def _search(self) -> Search:
        return Search(self.scenario, self.goal, self.runs, self.seed, self.regret, self.caution)


def _plan(scenario: Scenario, settings: FloatArray, asked: NDArray[np.int64]) -> Plan:
    """Return a plan; a setting that stands in it before counts as a repeat."""
    seen: Counter[bytes] = Counter()
    repeat = np.empty(len(settings), np.int64)
    for run, setting in enumerate(settings):
        repeat[run] = seen[setting.tobytes()]
        seen[setting.tobytes()] += 1
    return Plan(settings, repeat, scenario.setting_names, asked)

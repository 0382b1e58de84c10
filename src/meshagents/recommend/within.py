"""Rules and loads within service level objectives, as far as a simulator is certain of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshagents.recommend.front import front, spread_over
from meshagents.recommend.search import all_loads, candidates, expect, intervals_of
from meshgym.errors import InvalidValueError, SloError
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.slo.objective import Objective
from meshgym.types import Load, Progress, TrafficRules

FloatArray = NDArray[np.float64]
#: Predictions with intervals, which take longer than those without.
MOST_PREDICTIONS = 3_000_000
#: Points of the Pareto front that are told: of those that keep the objectives, and of the others.
_TOLD = 6
_BATCH = 65_536
_P99 = "latency_p99_s"


@dataclass(frozen=True)
class Point:
    """One of the best compromises between success, p99 and 200s per second, as expected.

    Attributes:
        rules: values of the rules that vary.
        load: what is sent.
        success: share of 200s.
        p99: of the latency, in seconds; None if the simulator doesn't predict it.
        goodput: 200s per second.
        kept: whether the objectives are kept with 95 % certainty.
    """

    rules: dict[str, float]
    load: Load
    success: float
    p99: float | None
    goodput: float
    kept: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "load": self.load.to_dict()}


@dataclass(frozen=True)
class Within:
    """What is expected to keep the objectives.

    Attributes:
        objectives: what must be kept.
        given: whether the loads were given. Then the rules keep the objectives under all of them, with the largest
            margin; else they carry the most 200s per second under one of the scenario's loads.
        load: that load, or of those given the one with the smallest margin.
        margin: by how much the objectives are kept there, as a share of what is nearest to being broken, 0 or more.
        goodput: 200s per second expected there.
        share: of the loads tried that keep them under the same rules, 0..1.
        tried: sets of rules tried.
        front: compromises of all rules and loads tried, the most 200s per second first.
    """

    objectives: tuple[Objective, ...]
    given: bool
    load: Load
    margin: float
    goodput: float
    share: float
    tried: int
    front: tuple[Point, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        plain = {"load": self.load.to_dict(), "front": [point.to_dict() for point in self.front]}
        return {**vars(self), "objectives": [vars(objective) for objective in self.objectives], **plain}


@dataclass(frozen=True)
class _Judged:
    """Outcomes of all rules under all loads, shape (rows, loads); ``worst`` has a margin for each objective before."""

    success: FloatArray
    p99: FloatArray
    goodput: FloatArray
    worst: FloatArray

    @property
    def margin(self) -> FloatArray:
        """The smallest margin over the objectives."""
        smallest: FloatArray = self.worst.min(axis=0)
        return smallest


def find_within(
    simulator: Simulator,
    scenario: Scenario,
    objectives: Sequence[Objective],
    rules: TrafficRules | None,
    loads: Sequence[Load],
    *,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[TrafficRules, Within]:
    """Find rules within objectives: for the most 200s per second, or under given loads with the largest margin.

    A load keeps the objectives with 95 % certainty if that end of the 90 % interval of single runs does which is worse.

    Args:
        simulator: predicts outcomes and their intervals.
        scenario: has the rules to search.
        objectives: what must be kept.
        rules: the rules; None to search for the best.
        loads: those that must be carried; none to choose among the scenario's.
        seed: of the rules drawn if there are too many to try all.
        progress: called after each load.

    Raises:
        InvalidValueError: an objective about what the simulator doesn't predict.
        SloError: nothing keeps the objectives; it says what limits it.
    """
    known = set(simulator.identity.outcomes) | set(simulator.identity.constant) | {"p200"}
    for objective in objectives:
        if objective.outcome not in known:
            raise InvalidValueError(
                "objective", objective.text, f"about {', '.join(sorted(known))}, as the simulator is"
            )
    tried = list(dict.fromkeys(loads)) or all_loads(scenario)
    if rules is not None:
        if any(expected.qps is None for expected in expect(simulator, rules, tried)):
            raise InvalidValueError("rules and loads", rules.to_dict(), "ones within the traces of the simulator")
        rows = np.array([[float(getattr(rules, name)) for name in scenario.rules]])
    else:
        rows, _ = candidates(scenario, max(MOST_PREDICTIONS // len(tried), 1), seed)
    judged = _judge(simulator, rows, tried, objectives, progress)
    row, column = _choose(judged, objectives, bool(loads))
    found = Within(
        tuple(objectives),
        bool(loads),
        tried[column],
        margin=float(judged.margin[row, column]),
        goodput=float(judged.goodput[row, column]),
        share=float((judged.margin[row] >= 0).mean()),
        tried=len(rows),
        front=_front(judged, scenario, rows, tried),
    )
    return rules or scenario.rules_at(rows[row]), found


def _choose(judged: _Judged, objectives: Sequence[Objective], given: bool) -> tuple[int, int]:
    """Return the row of the rules and the column of the load; see :class:`Within`.

    Raises:
        SloError: nothing keeps the objectives.
    """
    margin = judged.margin
    if given:
        smallest = margin.min(axis=1)
        if smallest.max() < 0:
            raise SloError(_what_limits(objectives, judged.worst.min(axis=2), "rules", "under all of these loads"))
        alike = np.flatnonzero(smallest == smallest.max())
        row = int(alike[judged.goodput[alike].sum(axis=1).argmax()])
        return row, int(margin[row].argmin())
    if margin.max() < 0:
        raise SloError(_what_limits(objectives, judged.worst.reshape(len(objectives), -1), "rules and load"))
    best = np.where(margin >= 0, judged.goodput, -np.inf)
    row, column = divmod(int(best.argmax()), margin.shape[1])
    return row, column


def _judge(
    simulator: Simulator,
    rules: FloatArray,
    loads: Sequence[Load],
    objectives: Sequence[Objective],
    progress: Progress,
) -> _Judged:
    shape = len(rules), len(loads)
    success, p99, goodput = np.empty((3, *shape))
    worst = np.empty((len(objectives), *shape))
    for column, load in enumerate(loads):
        for start in range(0, len(rules), _BATCH):
            part = slice(start, start + _BATCH)
            sent = np.tile([getattr(load, name) for name in load.names], (len(rules[part]), 1))
            settings = np.hstack([rules[part], sent])
            response, intervals = simulator.predict(settings), intervals_of(simulator, settings)
            success[part, column] = response.p200
            p99[part, column] = (response.details or {}).get(_P99, np.nan)
            goodput[part, column] = np.multiply(response.qps, response.p200, dtype=np.float64)
            for number, objective in enumerate(objectives):
                worst[number, part, column] = objective.margin_of(intervals[objective.outcome]).min(axis=1)
        progress(column + 1, len(loads))
    return _Judged(success, p99, goodput, worst)


def _front(judged: _Judged, scenario: Scenario, rules: FloatArray, loads: Sequence[Load]) -> tuple[Point, ...]:
    parts = [judged.goodput, judged.success, *([] if np.isnan(judged.p99).any() else [-judged.p99])]
    costs = -np.column_stack([part.ravel().round(6) for part in parts])
    best = front(costs)
    keep = judged.margin.ravel()[best] >= 0
    told = np.concatenate([part[spread_over(costs[part], _TOLD)] for part in (best[keep], best[~keep]) if len(part)])
    points = []
    for flat in told[np.argsort(costs[told, 0], kind="stable")].tolist():
        row, column = divmod(flat, len(loads))
        at = row, column
        points.append(
            Point(
                dict(zip(scenario.rules, rules[row].tolist(), strict=True)),
                loads[column],
                success=float(judged.success[at]),
                p99=None if np.isnan(judged.p99[at]) else float(judged.p99[at]),
                goodput=float(judged.goodput[at]),
                kept=bool(judged.margin[at] >= 0),
            )
        )
    return tuple(points)


def _what_limits(objectives: Sequence[Objective], worst: FloatArray, what: str, where: str = "") -> str:
    """Say which objective is kept least often, and how near anything comes; margins of shape (objectives, n)."""
    kept = [float((margins >= 0).mean()) for margins in worst]
    least = int(np.argmin(kept))
    wanted = ", ".join(objective.text for objective in objectives)
    said = " ".join(filter(None, (f"no {what} keep {wanted} with 95 % certainty", where)))
    if kept[least]:
        return f"{said}, all of them at once; {objectives[least].text} is kept by {kept[least]:.1%} of what was tried"
    return f"{said}; {objectives[least].text} is missed by everything, by {-worst[least].max():.0%} of it at least"

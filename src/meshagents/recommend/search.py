"""Rules and loads found by predicting all of them.

The simulator predicts every step of an environment beforehand, so no agent is needed: what is found here is the
oracle that agents are compared with.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meshagents.recommend.outside import nearest_rules
from meshagents.statistics import Interval
from meshgym.errors import UnknownNameError
from meshgym.fields import LOADS
from meshgym.rewards import load_reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.types import Load, Progress, Setting, TrafficRules

if TYPE_CHECKING:
    from meshagents.recommend.within import Within

FloatArray = NDArray[np.float64]

#: How a score over several loads becomes one.
CRITERIA: dict[str, Callable[[FloatArray], FloatArray]] = {
    "worst": lambda shares: shares.min(axis=1),
    "mean": lambda shares: shares.mean(axis=1),
}
#: Every combination of rules is tried up to this many predictions: enough for all of S5, in half a minute.
MAX_PREDICTIONS = 15_000_000
#: Scores that differ by no more than this are alike.
ALIKE = 0.01
_BATCH = 65_536


@dataclass(frozen=True)
class Expected:
    """The predicted response to a load; the intervals hold 90 % of single runs.

    Attributes:
        load: what is sent.
        qps: requests per second; None where rules or load lie outside the traces that the simulator learned from.
        p503: share of requests that returned 503, 0..1; likewise.
    """

    load: Load
    qps: Interval | None
    p503: Interval | None

    @property
    def harm(self) -> float:
        """503s per second (paper, Eq. 3); -1 if nothing is predicted."""
        return self.qps.estimate * self.p503.estimate if self.qps and self.p503 else -1.0


@dataclass(frozen=True)
class Search:
    """How the best rules were found, and how they compare.

    Under each load, a set of rules has a share: its 200s per second, of the most that any rules tried get there.
    Its score is the smallest of its shares, or their mean. Among the rules whose scores are within ``ALIKE`` of the
    highest, the best have the fewest 503s per second under their worst load.

    Attributes:
        criterion: ``"worst"`` or ``"mean"``.
        score: score of the best rules, 0..1.
        highest, median, lowest: scores over the rules tried, 0..1.
        tried: combinations of rules tried.
        total: combinations of rules in the scenario.
    """

    criterion: str
    score: float
    highest: float
    median: float
    lowest: float
    tried: int
    total: int


@dataclass(frozen=True)
class Recommendation:
    """Rules and the load to test them with.

    Attributes:
        rules: those given, or the best.
        expected: the loads given, the most 503s per second first; if none were given, the scenario's worst.
        loads: how many were tried.
        search: None if the rules were given.
        direct: runs of a direct search, in which nothing is predicted; 0 for a simulator's predictions.
        within: the objectives that it keeps; None if none were given.
    """

    rules: TrafficRules
    expected: tuple[Expected, ...]
    loads: int
    search: Search | None
    direct: int = 0
    within: Within | None = None


def recommend(
    simulator: Simulator,
    scenario: Scenario,
    rules: TrafficRules | None = None,
    loads: Sequence[Load] = (),
    *,
    fixed: bool = True,
    criterion: str = "worst",
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Recommendation:
    """Find the worst load under given rules, or the best rules under given loads and then their worst load.

    Args:
        simulator: predicts the responses.
        scenario: has the rules to search, and the loads if none are given.
        rules: values of the rules that vary; None to search for the best.
        loads: none for all of the scenario.
        fixed: whether all other rules are as in the traces; else nothing is predicted.
        criterion: how to choose the best under several loads, see :class:`Search`.
        seed: seed of the rules drawn if there are too many to try all.
        progress: called after each load.

    Raises:
        UnknownNameError: no such criterion.
    """
    tried = list(dict.fromkeys(loads)) or all_loads(scenario)
    search = None
    if rules is None:
        rules, search = best_rules(simulator, scenario, tried, criterion=criterion, seed=seed, progress=progress)
    expected = sorted(expect(simulator, rules, tried), key=lambda one: -one.harm)
    if not fixed or all(one.qps is None for one in expected):  # the worst load under the nearest rules
        near = sorted(expect(simulator, nearest_rules(scenario, rules), tried), key=lambda one: -one.harm)
        expected = [Expected(one.load, None, None) for one in near]
    return Recommendation(rules, tuple(expected if loads else expected[:1]), len(tried), search)


def all_loads(scenario: Scenario) -> list[Load]:
    """Return every load an agent of the scenario can choose."""
    names = scenario.load_names
    values = itertools.product(*(scenario.actions[name] for name in names))
    return [Load(**dict(zip(names, each, strict=True))) for each in values]  # type: ignore[arg-type]


def expect(simulator: Simulator, rules: TrafficRules, loads: Sequence[Load]) -> list[Expected]:
    """Predict the response to each load under the same rules; nothing where the simulator would have to guess."""
    names = simulator.identity.settings
    known = {*rules.to_dict(), *LOADS}
    if not known.issuperset(names):
        return [Expected(load, None, None) for load in loads]
    settings = [Setting(rules, load).to_row(names) for load in loads]
    response, intervals = simulator.predict(settings), simulator.intervals(settings)
    return [
        Expected(load, None, None)
        if response.outside[i]
        else Expected(
            load, _around(response.qps[i], intervals["qps"][i]), _around(response.p503[i], intervals["p503"][i])
        )
        for i, load in enumerate(loads)
    ]


def intervals_of(simulator: Simulator, settings: Any) -> dict[str, FloatArray]:
    """Return the 90 % intervals of single runs, shape (n, 2), by outcome; of success, too, where only 503s are told."""
    intervals = simulator.intervals(settings)
    return {"p200": 1 - intervals["p503"][:, ::-1], **intervals}


def _around(expected: Any, interval: FloatArray) -> Interval:
    low, high = interval.tolist()
    return Interval(float(expected), min(low, float(expected)), max(high, float(expected)))


def best_rules(
    simulator: Simulator,
    scenario: Scenario,
    loads: Sequence[Load],
    *,
    criterion: str = "worst",
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[TrafficRules, Search]:
    """Find the scenario's rules with the most 200s per second, among all or as many as can be tried.

    Args:
        simulator, scenario, criterion, seed, progress: see :func:`recommend`.
        loads: at least one.

    Raises:
        UnknownNameError: no such criterion.
    """
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    rules, total = candidates(scenario, max(MAX_PREDICTIONS // len(loads), 1), seed)
    rates = np.empty((2, len(rules), len(loads)))
    for i, load in enumerate(loads):
        rates[:, :, i] = _rates(simulator, rules, load)
        progress(i + 1, len(loads))
    good, bad = rates
    most = good.max(axis=0)
    shares = np.divide(good, most, out=np.ones_like(good), where=most > 0)  # under a load without 200s all are alike
    score = CRITERIA[criterion](shares)
    alike = np.flatnonzero(score >= score.max() - ALIKE)
    taken = alike[bad[alike].max(axis=1).argmin()]
    found = Search(
        criterion,
        score=float(score[taken]),
        highest=float(score.max()),
        median=float(np.median(score)),
        lowest=float(score.min()),
        tried=len(rules),
        total=total,
    )
    return scenario.rules_at(rules[taken]), found


def candidates(scenario: Scenario, most: int, seed: int) -> tuple[FloatArray, int]:
    """Return all combinations of rules, or draw ``most``, shape (n, rules); and how many there are."""
    axes = [span.values for span in scenario.rules.values()]
    shape = [len(axis) for axis in axes]
    total = math.prod(shape)
    if total <= most:
        return scenario.rule_grid(), total
    drawn = np.random.default_rng(seed).choice(total, most, replace=False)
    indices = np.unravel_index(np.sort(drawn), shape)
    return np.column_stack([axis[index] for axis, index in zip(axes, indices, strict=True)]), total


def _rates(simulator: Simulator, rules: FloatArray, load: Load) -> FloatArray:
    """Return 200s and 503s per second under each set of rules, shape (2, n)."""
    rewards = load_reward("best_case"), load_reward("worst_case")
    parts = []
    for start in range(0, len(rules), _BATCH):
        part = rules[start : start + _BATCH]
        sent = np.tile([getattr(load, name) for name in load.names], (len(part), 1))
        response = simulator.predict(np.hstack([part, sent]))
        parts.append([reward(*response[:3]) for reward in rewards])
    return np.concatenate(parts, axis=1, dtype=np.float64)

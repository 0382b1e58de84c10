"""Rules and loads found by asking the simulator about all there are.

A step of an environment can be asked beforehand, so no agent is needed: what is found here is the oracle
that agents are compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshagents.statistics import Interval
from meshgym.errors import UnknownNameError
from meshgym.rewards import load_reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.simulator.artefact import NINETY
from meshgym.types import Load, Progress, TrafficRules

FloatArray = NDArray[np.float64]

#: How a score over several loads becomes one.
CRITERIA: dict[str, Callable[[FloatArray], FloatArray]] = {
    "worst": lambda shares: shares.min(axis=1),
    "mean": lambda shares: shares.mean(axis=1),
}
#: Predictions up to which every combination of rules is tried: enough for all of S5, in half a minute.
MAX_PREDICTIONS = 15_000_000
#: Scores that differ by no more are alike.
ALIKE = 0.01
_BATCH = 65_536


@dataclass(frozen=True)
class Expected:
    """What the simulator expects of a load; the intervals hold 90 % of single runs.

    Attributes:
        load: threads and calls.
        qps: answers a second.
        p503: share of 503s, 0..1.
        outside: whether rules or load lie outside the traces the simulator learned from.
    """

    load: Load
    qps: Interval
    p503: Interval
    outside: bool

    @property
    def harm(self) -> float:
        """503s a second (paper, Eq. 3)."""
        return self.qps.estimate * self.p503.estimate


@dataclass(frozen=True)
class Search:
    """How the best rules were found, and how they compare.

    A set of rules has a share under each load: its 200s a second, of the most that any rules tried get there.
    Its score is the smallest of these, or their mean. Of the rules whose scores are within ``ALIKE`` of the highest,
    those are taken that give the fewest 503s a second under their worst load.

    Attributes:
        criterion: ``"worst"`` or ``"mean"``.
        score: of the rules taken, 0..1.
        highest, median, lowest: scores over the rules tried, 0..1.
        tried: combinations of rules tried.
        total: combinations there are.
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
        rules: the given ones or the best.
        expected: the loads given, most 503s a second first; without any, the worst of the scenario.
        loads: how many were tried.
        search: None where the rules were given.
    """

    rules: TrafficRules
    expected: tuple[Expected, ...]
    loads: int
    search: Search | None


def recommend(
    simulator: Simulator,
    scenario: Scenario,
    rules: TrafficRules | None = None,
    loads: Sequence[Load] = (),
    *,
    criterion: str = "worst",
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Recommendation:
    """The worst load under given rules, or the best rules under given loads and then their worst load.

    Args:
        simulator: what is asked.
        scenario: its rules are searched, and its actions are the loads where none are given.
        rules: None to search for the best.
        loads: none for all of the scenario.
        criterion: how the best are chosen where there are several loads, see :class:`Search`.
        seed: of the rules drawn, where there are too many to try all.
        progress: told the loads done and their total.

    Raises:
        UnknownNameError: no such criterion.
    """
    tried = list(dict.fromkeys(loads)) or all_loads(scenario)
    search = None
    if rules is None:
        rules, search = best_rules(simulator, scenario, tried, criterion=criterion, seed=seed, progress=progress)
    expected = sorted(expect(simulator, rules, tried), key=lambda said: -said.harm)
    return Recommendation(rules, tuple(expected if loads else expected[:1]), len(tried), search)


def all_loads(scenario: Scenario) -> list[Load]:
    """Every load an agent of the scenario can choose."""
    return [Load(threads, calls) for threads in scenario.actions["threads"] for calls in scenario.actions["calls"]]


def expect(simulator: Simulator, rules: TrafficRules, loads: Sequence[Load]) -> list[Expected]:
    """What the simulator says of each load under the same rules."""
    row = list(rules.to_dict().values())
    said = simulator.predict([[*row, load.threads, load.calls] for load in loads])
    return [
        Expected(
            load,
            _interval(said.qps[i], said.qps_std[i], math.inf),
            _interval(said.p503[i], said.p503_std[i], 1.0),
            bool(said.outside[i]),
        )
        for i, load in enumerate(loads)
    ]


def _interval(mean: Any, std: Any, top: float) -> Interval:
    half = NINETY * float(std)
    return Interval(float(mean), max(float(mean) - half, 0.0), min(float(mean) + half, top))


def best_rules(
    simulator: Simulator,
    scenario: Scenario,
    loads: Sequence[Load],
    *,
    criterion: str = "worst",
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[TrafficRules, Search]:
    """The scenario's rules under which most calls a second are answered 200, of all or as many as can be tried.

    Args:
        loads: at least one.
        simulator, scenario, criterion, seed, progress: see :func:`recommend`.

    Raises:
        UnknownNameError: no such criterion.
    """
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    rules, total = _candidates(scenario, max(MAX_PREDICTIONS // len(loads), 1), seed)
    rates = np.empty((2, len(rules), len(loads)))
    for i, load in enumerate(loads):
        rates[:, :, i] = _rates(simulator, rules, load)
        progress(i + 1, len(loads))
    answered, refused = rates
    most = answered.max(axis=0)
    shares = np.divide(answered, most, out=np.ones_like(answered), where=most > 0)  # nothing answered: all alike
    score = CRITERIA[criterion](shares)
    alike = np.flatnonzero(score >= score.max() - ALIKE)
    taken = alike[refused[alike].max(axis=1).argmin()]
    found = Search(
        criterion,
        score=float(score[taken]),
        highest=float(score.max()),
        median=float(np.median(score)),
        lowest=float(score.min()),
        tried=len(rules),
        total=total,
    )
    return TrafficRules(*rules[taken]), found


def _candidates(scenario: Scenario, most: int, seed: int) -> tuple[FloatArray, int]:
    """All combinations of rules, or ``most`` drawn ones, shape (n, 7); and how many there are."""
    axes = [span.values for span in scenario.rules.values()]
    shape = [len(axis) for axis in axes]
    total = math.prod(shape)
    if total <= most:
        return scenario.rule_grid(), total
    drawn = np.random.default_rng(seed).choice(total, most, replace=False)
    indices = np.unravel_index(np.sort(drawn), shape)
    return np.column_stack([axis[index] for axis, index in zip(axes, indices, strict=True)]), total


def _rates(simulator: Simulator, rules: FloatArray, load: Load) -> FloatArray:
    """200s and 503s a second under each set of rules, shape (2, n)."""
    rewards = load_reward("best_case"), load_reward("worst_case")
    parts = []
    for start in range(0, len(rules), _BATCH):
        part = rules[start : start + _BATCH]
        threads, calls = (np.full(len(part), value) for value in (load.threads, load.calls))
        said = simulator.predict(np.column_stack([part, threads, calls]))
        parts.append([reward(said.qps, said.p200, said.p503) for reward in rewards])
    return np.concatenate(parts, axis=1, dtype=np.float64)

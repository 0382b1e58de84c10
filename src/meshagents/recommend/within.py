"""Rules and loads within service level objectives, as far as a simulator is certain of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshagents.recommend.search import candidates, expect
from meshgym.errors import InvalidValueError, SloError
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.slo.objective import Objective
from meshgym.types import Load, Progress, TrafficRules

FloatArray = NDArray[np.float64]
#: Predictions with intervals, which take longer than those without.
MOST_PREDICTIONS = 3_000_000
_BATCH = 65_536


@dataclass(frozen=True)
class Within:
    """What is expected to keep the objectives.

    Attributes:
        objectives: what must be kept.
        load: under which the most 200s per second are expected, of those that keep them with 95 % certainty.
        goodput: 200s per second expected there.
        share: of the loads tried that keep them under the same rules, 0..1.
        tried: sets of rules tried.
    """

    objectives: tuple[Objective, ...]
    load: Load
    goodput: float
    share: float
    tried: int


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
    """Find the rules that carry the most 200s per second within the objectives, or the load under given rules.

    A load keeps the objectives with 95 % certainty if that end of the 90 % interval of single runs does which is worse.

    Args:
        simulator: predicts outcomes and their intervals.
        scenario: has the rules to search.
        objectives: what must be kept.
        rules: the rules; None to search for the best.
        loads: at least one.
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
    if rules is not None:
        if any(expected.qps is None for expected in expect(simulator, rules, loads)):
            raise InvalidValueError("rules and loads", rules.to_dict(), "ones within the traces of the simulator")
        rows = np.array([[float(getattr(rules, name)) for name in scenario.rules]])
    else:
        rows, _ = candidates(scenario, max(MOST_PREDICTIONS // len(loads), 1), seed)
    goodput = np.empty((len(rows), len(loads)))
    worst = np.empty((len(objectives), len(rows), len(loads)))
    for column, load in enumerate(loads):
        for start in range(0, len(rows), _BATCH):
            part = slice(start, start + _BATCH)
            goodput[part, column], worst[:, part, column] = _judge(simulator, rows[part], load, objectives)
        progress(column + 1, len(loads))
    keeps = np.asarray((worst >= 0).all(axis=0))
    if not keeps.any():
        raise SloError(_what_limits(objectives, worst))
    best = np.where(keeps, goodput, -np.inf)
    row, column = divmod(int(best.argmax()), len(loads))
    share = float(keeps[row].mean())
    found = Within(tuple(objectives), loads[column], float(best[row, column]), share, tried=len(rows))
    return rules or scenario.rules_at(rows[row]), found


def _judge(
    simulator: Simulator, rules: FloatArray, load: Load, objectives: Sequence[Objective]
) -> tuple[FloatArray, FloatArray]:
    """Return the 200s per second expected under each rules, shape (n,), and the worse margins, (objectives, n)."""
    settings = np.hstack([rules, np.tile([getattr(load, name) for name in load.names], (len(rules), 1))])
    response, intervals = simulator.predict(settings), simulator.intervals(settings)
    if "p200" not in intervals:
        intervals["p200"] = 1 - intervals["p503"]
    ends = (intervals[objective.outcome] for objective in objectives)
    worst = [objective.margin_of(end).min(axis=1) for objective, end in zip(objectives, ends, strict=True)]
    return np.multiply(response.qps, response.p200, dtype=np.float64), np.array(worst)


def _what_limits(objectives: Sequence[Objective], worst: FloatArray) -> str:
    """Say which objective is kept least often, and how near anything comes."""
    kept = [float((margins >= 0).mean()) for margins in worst]
    least = int(np.argmin(kept))
    said = f"no rules and load keep {', '.join(objective.text for objective in objectives)} with 95 % certainty"
    if kept[least]:
        return f"{said}, all of them at once; {objectives[least].text} is kept by {kept[least]:.1%} of what was tried"
    return f"{said}; {objectives[least].text} is missed by everything, by {-worst[least].max():.0%} of it at least"

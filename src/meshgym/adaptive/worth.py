"""What a plan costs before the first run, and from how many sets of rules on it pays off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario
from meshgym.service.own import Service
from meshgym.simulator import Simulator
from meshgym.traces.plan import make_plan

FloatArray = NDArray[np.float64]

#: Runs that a direct search takes for one set of rules, to get as near as 120 runs get for all of them; measured, see
#: docs/tables/few-runs-former.txt.
DIRECT = (10, 20)
#: Settings that stand for those of a plan.
_DRAWN = 2000


@dataclass(frozen=True)
class Cost:
    """What a plan costs.

    Attributes:
        runs: how many.
        calls: sent in all.
        seconds: what they take; None if nothing tells how fast the service responds.
        sets: the numbers of sets of rules between which a simulator begins to save runs.
    """

    runs: int
    calls: int
    seconds: float | None
    sets: tuple[int, int]


def cost(scenario: Scenario, runs: int, simulator: Simulator | None = None, overhead_s: float = 0.0) -> Cost:
    """Tell what a plan that covers the scenario's ranges costs.

    Args:
        scenario: what is measured.
        runs: how many runs.
        simulator: of the same service, or of a similar one: it knows how fast that responds. Without one, it's as if
            the embedded mesh's service served every call, which takes about as long as most runs do.
        overhead_s: seconds that a run takes besides its load.

    Raises:
        InvalidValueError: runs below 1, or an overhead below 0.
        SimulatorError: the simulator predicts from other fields.
    """
    if runs < 1:
        raise InvalidValueError("runs", runs, "a whole number, at least 1")
    if overhead_s < 0:
        raise InvalidValueError("overhead", overhead_s, "seconds, at least 0")
    if simulator is not None:
        simulator.check_fields(scenario)
    settings = make_plan(scenario, max(runs, _DRAWN), 0).settings
    pace, calls = settings[:, -2:].T
    rates: FloatArray | None = pace if "rate_per_s" in scenario.load else _rates(settings, scenario.service, simulator)
    seconds = None if rates is None else float(runs * ((calls / rates).mean() + overhead_s))
    few, many = (round(runs / direct) or 1 for direct in DIRECT[::-1])
    return Cost(runs, round(runs * calls.mean()), seconds, (few, many))


def _rates(settings: FloatArray, service: Service | None, simulator: Simulator | None) -> FloatArray | None:
    """Return the responses per second of a closed loop under each setting; None if nothing tells."""
    if simulator is not None:
        return np.maximum(np.asarray(simulator.predict(settings).qps, np.float64), 1.0)
    call_ms = service.call_ms if service else None
    if call_ms is None:
        return None
    fastest: FloatArray = 1000 * settings[:, -2] / max(call_ms, 1.0)
    return fastest

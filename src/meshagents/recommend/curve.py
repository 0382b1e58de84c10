"""What a simulator expects under fixed rules as the load grows, for the page of a recommendation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshagents.recommend.search import intervals_of
from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.types import Load, TrafficRules

FloatArray = NDArray[np.float64]
#: Paces of a curve.
_POINTS = 40


@dataclass(frozen=True)
class Band:
    """An outcome along a curve: what is expected, and between what 90 % of single runs lie; each of shape (n,)."""

    expected: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class Curve:
    """Outcomes over the pace, all with the same number of calls.

    Attributes:
        pace: name of the pace: ``threads`` or ``rate_per_s``.
        paces: shape (n,), ascending.
        calls: of each load.
        bands: by outcome: ``p200``, and ``latency_p99_s`` where the simulator predicts it.
    """

    pace: str
    paces: FloatArray
    calls: int
    bands: Mapping[str, Band]


def curve(simulator: Simulator, scenario: Scenario, rules: TrafficRules, load: Load) -> Curve | None:
    """Predict outcomes under ``rules`` over all paces of the scenario with the calls of ``load``.

    Returns:
        None where the simulator would have to guess.
    """
    pace, _ = scenario.load_names
    span = scenario.load[pace]
    paces = np.unique(np.linspace(span.low, span.high, _POINTS).round() if pace == "threads" else span.values)
    if len(paces) > _POINTS:
        paces = paces[np.linspace(0, len(paces) - 1, _POINTS).round().astype(int)]
    names = scenario.setting_names
    fixed = {**rules.to_dict(), "calls": load.calls}
    settings = np.column_stack([paces if name == pace else np.full(len(paces), fixed[name]) for name in names])
    try:
        response, ends = simulator.predict(settings), intervals_of(simulator, settings)
    except InvalidValueError:
        return None
    inside = ~np.asarray(response.outside, bool)
    if inside.sum() < 2:
        return None
    expected = {"p200": response.p200, **(response.details or {})}
    bands: dict[str, Band] = {
        name: _band(expected[name][inside], ends[name][inside])
        for name in ("p200", "latency_p99_s")
        if name in ends and name in expected
    }
    return Curve(pace, paces[inside], load.calls, bands)


def _band(expected: FloatArray, ends: FloatArray) -> Band:
    low, high = np.minimum(ends[:, 0], expected), np.maximum(ends[:, 1], expected)
    return Band(np.asarray(expected, np.float64), low, high)

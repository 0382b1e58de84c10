"""Service level objectives: what is asked of a run's outcomes, and by how much it keeps that."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshgym.errors import InvalidValueError
from meshgym.fields import OUTCOMES
from meshgym.mesh.load.latency import PERCENTILES
from meshgym.rewards import Run
from meshgym.types import Response

#: Share of the measured runs that must keep objectives which are expected to be kept with 95 % certainty.
KEPT = 0.9
#: Names of outcomes in an objective, k6's among them, and whether its share counts what the objective doesn't name.
_NAMES: dict[str, tuple[str, bool]] = {
    "p50": ("latency_p50_s", False),
    "med": ("latency_p50_s", False),
    "p90": ("latency_p90_s", False),
    "p99": ("latency_p99_s", False),
    "success": ("p200", False),
    "errors": ("p200", True),
    "http_req_failed": ("p200", True),
    "p503": ("p503", False),
    "throughput": ("qps", False),
    "http_reqs": ("qps", False),
}
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_FORM = re.compile(r"(?P<name>[\w.]+)\s*(?P<sign>[<>])=?\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>%|[a-zµ/]*)")
#: k6 writes ``http_req_duration: p(99)<500`` in milliseconds, and ``http_req_failed: rate<0.01``.
_K6 = re.compile(r"(?P<metric>http_req_duration|http_req_failed|http_reqs)\s*:\s*(?P<rest>.+)")
_ALLOWED = (
    'such as "p99<200ms", "success>99.9%", "p503<1%", "throughput>300/s", or as k6 has it: '
    '"http_req_duration: p(99)<200", "http_req_failed: rate<0.001"'
)


@dataclass(frozen=True)
class Objective:
    """One bound on one outcome.

    Attributes:
        text: as it was given.
        outcome: its name in :data:`meshgym.fields.OUTCOMES`.
        below: whether the outcome must stay below the bound, or else above.
        bound: in the outcome's unit.
    """

    text: str
    outcome: str
    below: bool
    bound: float

    def margin(self, response: Response) -> Any:
        """Return by how much runs keep it, as a share of the bound; below 0 where they don't, -inf where none tells.

        For a share that must be nearly 1, it is the share of what may be lost. A run may not tell a latency, for want
        of 200s.

        Args:
            response: of one run, or of many.

        Returns:
            A number, or an array of shape (n,).
        """
        value: Any = getattr(response, self.outcome, None)
        if value is None:
            value = (response.details or {}).get(self.outcome, math.nan)
        return self.margin_of(value)

    def margin_of(self, value: Any) -> Any:
        """Return the same for values of the outcome."""
        room = np.float64(value) - self.bound if not self.below else self.bound - np.float64(value)
        near_one = OUTCOMES[self.outcome].unit == "share" and self.bound > 0.5
        margin = room / ((1 - self.bound if near_one else self.bound) or 1.0)
        return np.where(np.isnan(margin), -math.inf, margin)[()]


def read_objective(text: str) -> Objective:
    """Read an objective.

    Raises:
        InvalidValueError: it can't be read, or no service can keep or miss it.
    """
    k6 = _K6.fullmatch(text.strip())
    rest = k6["rest"].replace("p(", "p").replace(")", "") if k6 else text.strip()
    if k6 and k6["metric"] != "http_req_duration":
        rest = rest.replace("rate", k6["metric"], 1).replace("count", k6["metric"], 1)
    found = _FORM.fullmatch(rest)
    if not found or found["name"] not in _NAMES:
        raise InvalidValueError("objective", text, _ALLOWED)
    outcome, turned = _NAMES[found["name"]]
    unit = found["unit"] or ("ms" if k6 and outcome.startswith("latency") else "")
    bound, below = float(found["number"]) * _scale(text, outcome, unit), found["sign"] == "<"
    if turned:
        bound, below = 1 - bound, not below
    field = OUTCOMES[outcome]
    if not field.low <= bound <= field.high or (below and bound == field.low) or (not below and bound == field.high):
        raise InvalidValueError("objective", text, "one that a service can keep and can miss")
    return Objective(text, outcome, below, bound)


def _scale(text: str, outcome: str, unit: str) -> float:
    """Return what a number in this unit is multiplied by."""
    kind = OUTCOMES[outcome].unit
    if kind == "s" and unit in _SECONDS:
        return _SECONDS[unit]
    if kind == "share" and unit in ("", "%"):
        return 0.01 if unit else 1.0
    if kind == "1/s" and unit in ("", "/s"):
        return 1.0
    allowed = {"s": "us, ms or s", "share": "% or none", "1/s": "/s or none"}[kind]
    raise InvalidValueError("objective", text, f"{outcome} with the unit {allowed}")


def read_slo(texts: Sequence[str]) -> tuple[Objective, ...]:
    """Read objectives that must all be kept.

    Raises:
        InvalidValueError: none, one that can't be read, or two that contradict each other.
    """
    if not texts:
        raise InvalidValueError("--slo", list(texts), f"at least one objective, {_ALLOWED}")
    objectives = tuple(map(read_objective, texts))
    for one in objectives:
        for other in objectives:
            if one.outcome == other.outcome and one.below and not other.below and one.bound <= other.bound:
                raise InvalidValueError("objectives", [one.text, other.text], "ones that don't contradict each other")
    return objectives


def least_calls(objectives: Sequence[Objective]) -> int:
    """Return how many calls a run needs, so that it tells all percentiles even if half of its calls fail."""
    ranks = [PERCENTILES[objective.outcome] for objective in objectives if objective.outcome in PERCENTILES]
    return max([2, *(math.ceil(2 * 100 / (100 - rank)) for rank in ranks)])


def margin(objectives: Sequence[Objective], response: Response) -> Any:
    """Return the smallest margin of a run, or of many, over all objectives; at least 0 if it keeps them all."""
    return np.min([objective.margin(response) for objective in objectives], axis=0)


class _OfObjectives:
    """A reward for keeping objectives.

    Args:
        texts: the objectives, as for :func:`read_slo`, with its errors.
    """

    def __init__(self, *texts: str) -> None:
        self.objectives = read_slo(texts)

    def margin(self, run: Run) -> Any:
        return margin(self.objectives, run.response)


class Goodput(_OfObjectives):
    """A reward: 200s per second of runs that keep all objectives, and 0 of the others.

    Args:
        texts: the objectives, as for :func:`read_slo`, with its errors.
    """

    def __call__(self, run: Run) -> Any:
        """Return the rewards of a run, or of many."""
        return np.where(self.margin(run) >= 0, np.multiply(run.response.qps, run.response.p200), 0.0)


class Margin(_OfObjectives):
    """A reward: the smallest margin over all objectives, at least -1: how far a run is from breaking them.

    Args:
        texts: the objectives, as for :func:`read_slo`, with its errors.
    """

    def __call__(self, run: Run) -> Any:
        """Return the rewards of a run, or of many."""
        return np.maximum(self.margin(run), -1.0)

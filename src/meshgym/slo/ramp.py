"""Find the highest pace at which a service keeps its objectives: raise it until they break, then halve the gap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshgym.errors import InvalidValueError, MeshError
from meshgym.slo.objective import Objective, margin
from meshgym.types import Load, Progress, Response

#: Each step up is so many times the pace before.
_FACTOR = 2.0
#: A margin this near to 0 may be noise, and so many runs of one pace decide by majority.
_NEAR, _MAJORITY = 0.5, 3


@dataclass(frozen=True)
class Run:
    """One measured run.

    Attributes:
        load: what was sent.
        response: what came back.
        margin: the smallest over all objectives; at least 0 if they were kept.
    """

    load: Load
    response: Response
    margin: float

    @property
    def pace(self) -> float:
        """Threads, or calls per second."""
        return self.load.rate_per_s if self.load.open else float(self.load.threads)


@dataclass
class Ramp:
    """What a ramp found.

    Attributes:
        objectives: what must be kept.
        runs: all of them, in order.
        kept: the highest pace that kept the objectives; None if none did.
        broken: the lowest pace above it that didn't; None if none broke.
        failed: why the last run failed, which ended the ramp; empty if none did.
    """

    objectives: tuple[Objective, ...]
    runs: list[Run] = field(default_factory=list)
    kept: float | None = None
    broken: float | None = None
    failed: str = ""


def ramp(
    measure: Callable[[Load], Response],
    objectives: Sequence[Objective],
    load_at: Callable[[float], Load],
    low: float,
    high: float,
    *,
    runs: int = 20,
    within: float = 0.05,
    whole: bool = False,
    progress: Progress = lambda done, total: None,
) -> Ramp:
    """Find the edge between two paces.

    Each pace is measured once, and where the margin is small up to three times; the majority decides. A run that fails
    ends the ramp; what was found before is returned.

    Args:
        measure: sends a load.
        objectives: what must be kept.
        load_at: the load of a pace.
        low, high: the paces to look between, both above 0.
        runs: the most runs to make.
        within: end once both sides of the edge are so near, as a share of the pace.
        whole: whether paces are whole numbers.
        progress: called after each run.

    Raises:
        InvalidValueError: paces, runs or ``within`` out of range.
        MeshGymError: the first run failed.
    """
    if not 0 < low <= high < math.inf:
        raise InvalidValueError("paces", [low, high], "two numbers above 0, ascending")
    if runs < 1 or not 0 < within < 1:
        raise InvalidValueError("runs and within", [runs, within], "at least one run, and a share between 0 and 1")
    found = Ramp(tuple(objectives))

    def send(pace: float) -> float:
        load = load_at(pace)
        response = measure(load)
        found.runs.append(Run(load, response, float(margin(objectives, response))))
        progress(len(found.runs), runs)
        return found.runs[-1].margin

    try:
        _raise(found, send, low, high, runs)
        _bisect(found, send, runs, within, whole)
    except MeshError as error:
        if not found.runs:
            raise
        found.failed = str(error)
    return found


def _bisect(found: Ramp, send: Callable[[float], float], runs: int, within: float, whole: bool) -> None:
    """Halve the gap between what is kept and what isn't."""
    while found.kept is not None and found.broken is not None and found.broken / found.kept > 1 + within:
        middle = math.sqrt(found.kept * found.broken)
        if whole and (middle := float(round(middle))) in (found.kept, found.broken):
            break
        if not _settle(found, send, middle, runs):
            break


def _raise(found: Ramp, send: Callable[[float], float], low: float, high: float, runs: int) -> None:
    """Raise the pace until it breaks the objectives, or is the highest."""
    pace = low
    while _settle(found, send, pace, runs) and found.broken is None and pace < high:
        pace = min(pace * _FACTOR, high)


def _settle(found: Ramp, send: Callable[[float], float], pace: float, runs: int) -> bool:
    """Note whether a pace keeps the objectives; return False if there are no runs left to tell."""
    votes: list[bool] = []
    while len(found.runs) < runs:
        last = send(pace)
        votes.append(last >= 0)
        kept = votes.count(True) > len(votes) // 2
        if len(votes) == _MAJORITY or votes.count(kept) > _MAJORITY // 2 or abs(last) > _NEAR:
            found.kept, found.broken = (pace, found.broken) if kept else (found.kept, pace)
            return True
    return False


def open_loop(seconds: float, least: int, rate: float) -> Load:
    """Return a load of so many calls per second that takes so long, and longer where that is fewer than ``least``."""
    return Load(rate_per_s=rate, duration_s=max(seconds, least / rate))


def closed_loop(calls: int, threads: float) -> Load:
    """Return a load of so many threads, and calls where these are enough for them."""
    return Load(threads=int(threads), calls=max(calls, 2 * int(threads)))

"""What a Fortio server sends, checked against the shapes that we rely on, and against itself."""

from __future__ import annotations

import math
from typing import Any

from meshgym.errors import ClusterError, MissingDependencyError, clean
from meshgym.mesh.shapes import shaped

try:
    import msgspec
except ImportError as error:
    raise MissingDependencyError("msgspec", "load through Fortio", "cluster") from error

#: A result may be off by what Fortio rounds.
_ROUNDING = 0.01


class _Bucket(msgspec.Struct, frozen=True):
    Start: float
    End: float
    Count: int


class _Histogram(msgspec.Struct, frozen=True):
    Count: int
    Data: list[_Bucket] = []


class FortioResult(msgspec.Struct, frozen=True):
    """What Fortio's ``/rest/run`` returns."""

    RetCodes: dict[str, int]
    ActualQPS: float
    ActualDuration: int
    NumThreads: int
    DurationHistogram: _Histogram
    Labels: str
    URL: str
    ErrorsDurationHistogram: _Histogram = _Histogram(0)


class _RunnerOptions(msgspec.Struct, frozen=True):
    Labels: str = ""


class _Run(msgspec.Struct, frozen=True):
    RunnerOptions: _RunnerOptions = _RunnerOptions()


class _Runs(msgspec.Struct, frozen=True):
    Statuses: dict[str, _Run] = {}


def read_runs(found: Any, whose: str) -> dict[str, str]:
    """Return the label of each run that Fortio has under way, by number."""
    if not isinstance(found, dict) or "Statuses" not in found:
        raise ClusterError(f"{whose} sent something other than Fortio's status: {clean(found, 100)}")
    runs = shaped(found, _Runs, whose, "Fortio's status").Statuses
    return {number: run.RunnerOptions.Labels for number, run in runs.items()}


def read_result(found: Any, whose: str) -> FortioResult:
    """Check a result of Fortio, and that it doesn't contradict itself.

    Raises:
        ClusterError: another shape, numbers that are none, or that don't fit together.
    """
    result = shaped(found, FortioResult, whose, "Fortio's result")
    calls, counted = sum(result.RetCodes.values()), result.DurationHistogram.Count
    histograms = (result.DurationHistogram, result.ErrorsDurationHistogram)
    times = [value for one in histograms for bucket in one.Data for value in (bucket.Start, bucket.End, bucket.Count)]
    numbers = [result.ActualQPS, result.ActualDuration, *times, *result.RetCodes.values()]
    reasons = []
    if not all(math.isfinite(number) and number >= 0 for number in numbers) or not result.ActualDuration:
        reasons.append("it holds numbers that can't be")
    elif not math.isclose(result.ActualQPS * result.ActualDuration / 1e9, calls, rel_tol=_ROUNDING):
        took = result.ActualDuration / 1e9
        reasons.append(f"{calls} calls in {took:g} s aren't {result.ActualQPS:g} calls per second")
    if counted != calls:
        reasons.append(f"it has times of {counted} calls and codes of {calls}")
    if reasons:
        raise ClusterError(f"{whose} sent a result that contradicts itself: {'; '.join(reasons)}")
    return result

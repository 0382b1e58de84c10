"""Latency of the requests that succeeded, as percentiles that rest on enough of them; and how late they were sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import DisturbedError
from meshgym.types import Load

#: A call of an open loop is late beyond this, and so many may be.
LATE_S, MOST_LATE, FEW_LATE = 0.005, 0.01, 3
#: The percentiles of a run, by trace column. One needs as many requests as make one of them lie above it.
PERCENTILES = {"latency_p50_s": 50, "latency_p90_s": 90, "latency_p99_s": 99}


class Bucket(NamedTuple):
    """So many latencies lie between two times.

    Attributes:
        start_s, end_s: both ends, in seconds.
        requests: how many.
    """

    start_s: float
    end_s: float
    requests: int


def percentiles(latencies_s: NDArray[np.float64]) -> dict[str, float]:
    """Return the percentiles of latencies, shape (n,), by trace column; those that rest on too few are left out."""
    return {
        name: float(np.percentile(latencies_s, rank))
        for name, rank in PERCENTILES.items()
        if enough(len(latencies_s), rank)
    }


def histogram_percentiles(every: Sequence[Bucket], failed: Sequence[Bucket]) -> dict[str, float]:
    """Return the percentiles of successes, of which only histograms are known; see :func:`percentiles`.

    Within a bucket, latencies count as evenly spread, as Fortio takes them.

    Args:
        every: of all requests, ascending.
        failed: of those that failed, in the same buckets but for the outermost ends.
    """
    if not every:
        return {}
    table = np.array(every, np.float64)
    starts, ends, counts = table.T
    for bucket in failed:
        middle = (bucket.start_s + bucket.end_s) / 2
        counts[min(int(np.searchsorted(ends, middle)), len(ends) - 1)] -= bucket.requests
    counts = np.maximum(counts, 0)
    total, before = int(counts.sum()), np.concatenate([[0], np.cumsum(counts)])
    found = {}
    for name, rank in PERCENTILES.items():
        if enough(total, rank):
            wanted = rank / 100 * total
            i = int(np.searchsorted(before[1:], wanted))
            inside = (wanted - before[i]) / counts[i]
            found[name] = float(starts[i] + inside * (ends[i] - starts[i]))
    return found


def lateness(late_s: Sequence[float]) -> dict[str, float]:
    """Return how late the calls of an open loop were sent, by trace column; nothing for a closed loop."""
    return {"late_p99_s": float(np.percentile(late_s, 99))} if len(late_s) else {}


def check_punctual(late_s: Sequence[float], load: Load) -> None:
    """Check that the calls of an open loop were sent when they were due.

    Raises:
        DisturbedError: too many were late, so that another load was sent than was asked for.
    """
    late = sum(one > LATE_S for one in late_s)
    if late > max(MOST_LATE * len(late_s), FEW_LATE):
        raise DisturbedError(
            f"{late} of {len(late_s)} calls were sent more than {LATE_S * 1000:g} ms after they were due (allowed: "
            f"{MOST_LATE:.0%}, or {FEW_LATE} calls); this machine can't send {load.rate_per_s:g} calls per second now"
        )


def enough(count: Any, rank: int) -> Any:
    """Return whether a percentile can rest on so many requests, a number or an array of any shape."""
    return count * (100 - rank) >= 100

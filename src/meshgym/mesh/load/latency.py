"""Latency of the requests that succeeded, as percentiles that rest on enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
        if _enough(len(latencies_s), rank)
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
        if _enough(total, rank):
            wanted = rank / 100 * total
            i = int(np.searchsorted(before[1:], wanted))
            inside = (wanted - before[i]) / counts[i]
            found[name] = float(starts[i] + inside * (ends[i] - starts[i]))
    return found


def _enough(count: int, rank: int) -> bool:
    return count * (100 - rank) >= 100

"""Percentiles of latency: of enough requests, and of successes alone where only histograms are known."""

from __future__ import annotations

import numpy as np
import pytest

from meshgym.mesh.load.latency import Bucket, histogram_percentiles, percentiles


def test_a_percentile_needs_enough_requests():
    latencies = np.linspace(0.001, 1, 1000)
    assert percentiles(latencies) == {
        "latency_p50_s": pytest.approx(0.5005),
        "latency_p90_s": pytest.approx(0.9001),
        "latency_p99_s": pytest.approx(0.99001),
    }
    assert percentiles(latencies[:99]).keys() == {"latency_p50_s", "latency_p90_s"}
    assert percentiles(latencies[:9]).keys() == {"latency_p50_s"}
    assert percentiles(latencies[:1]) == percentiles(latencies[:0]) == {}


def buckets(latencies, width=0.001):
    """As Fortio makes them: on a grid, but for the outermost ends."""
    if not len(latencies):
        return []
    numbers, counts = np.unique(np.ceil(latencies / width), return_counts=True)
    ends = numbers * width
    starts = ends - width
    starts[0], ends[-1] = latencies.min(), latencies.max()
    return [Bucket(*one) for one in zip(starts, ends, counts.tolist(), strict=True)]


@pytest.mark.parametrize("failures", [0, 700])
def test_histograms_of_all_and_of_failures_give_the_percentiles_of_successes(failures):
    generator = np.random.default_rng(0)
    successes, failed = generator.gamma(4, 0.01, 3000), generator.gamma(2, 0.002, failures)
    found = histogram_percentiles(buckets(np.concatenate([successes, failed])), buckets(failed))
    for name, value in percentiles(successes).items():
        assert found[name] == pytest.approx(value, abs=0.001)


def test_nothing_but_failures_has_no_latency():
    failed = buckets(np.full(500, 0.01))
    assert histogram_percentiles(failed, failed) == histogram_percentiles([], []) == {}

"""Training on synthetic traces: what is learned, its metrics, and that it can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgym.errors import TraceError
from meshgym.scenarios import load_scenario
from meshgym.simulator import Simulator
from meshgym.simulator.arrays import TraceArrays, folds, noise_floor
from meshgym.simulator.selection import RECIPES
from meshgym.simulator.training import fit_simulator
from meshgym.traces.store import check_traces, trace_hash

pytestmark = pytest.mark.slow
NOISE = {"qps": 20.0, "p503": 0.03}


def synthetic_traces(rows: int, seed: int = 0, other: float = 0.0) -> pd.DataFrame:
    """A mesh of arithmetic over S2's ranges with known noise; ``other`` is a share neither 200 nor 503."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {name: generator.choice(span.values, rows) for name, span in load_scenario("S2").ranges.items()}
    )
    share = 0.1 * frame["threads"] - 0.04 * frame["max_connections"] + 0.0003 * frame["calls"]
    frame["p503"] = (share + generator.normal(0, NOISE["p503"], rows)).clip(0, 1 - other)
    frame["p200"] = 1 - other - frame["p503"]
    frame["qps"] = 100 * frame["threads"] * (1 + share) + generator.normal(0, NOISE["qps"], rows)
    return check_traces(frame, "synthetic")


@pytest.fixture(scope="module")
def traces() -> pd.DataFrame:
    return synthetic_traces(1500)


@pytest.fixture(scope="module")
def simulator(traces: pd.DataFrame) -> Simulator:
    return fit_simulator(traces, load_scenario("S2"), seed=3)


@pytest.fixture
def quick(quick_recipe: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    with quick_recipe():
        yield


def test_it_learns_all_but_the_noise(simulator: Simulator) -> None:
    metrics = simulator.identity.metrics
    assert metrics["rmse_qps"] < 1.2 * NOISE["qps"]
    assert metrics["rmse_p503"] < 1.2 * NOISE["p503"]
    scales = simulator.scaling.output_scale
    squares = [(metrics[f"rmse_{name}"] / scale) ** 2 for name, scale in zip(NOISE, scales, strict=True)]
    assert metrics["mse"] == pytest.approx(sum(squares) / 2)


def test_the_intervals_hold(simulator: Simulator) -> None:
    fresh = synthetic_traces(4000, seed=9)
    settings = TraceArrays.of(fresh).settings
    intervals, predicted = simulator.intervals(settings), simulator.predict(settings)
    for name, noise in NOISE.items():
        assert 0.84 < fresh[name].between(*intervals[name].T).mean() < 0.95
        assert 0.8 < simulator.identity.metrics[f"coverage_90_{name}"] < 0.98
        assert np.median(getattr(predicted, f"{name}_std")) == pytest.approx(noise, rel=0.25)


def test_further_outcomes_are_learned() -> None:
    """Shares of the 503s and latencies, some of which are left out; what never changes is kept as it is."""
    frame = synthetic_traces(1200).assign(calls=500.0)
    bad = (500 * frame["p503"]).round()
    frame = frame.assign(p503=bad / 500, p200=1 - bad / 500, ok=500 - bad, reset=0.0, timeout=0.0, other_error=0.0)
    frame = frame.assign(overflow=(0.25 * bad).round(), no_healthy_host=0.0)
    frame["upstream_error"] = bad - frame["overflow"]
    slow = 0.01 * frame["threads"] * np.exp(np.random.default_rng(1).normal(0, 0.1, len(frame)))
    frame["latency_p50_s"], frame["latency_p90_s"] = slow, 2 * slow
    few = frame.index < 200  # so few 200s that none is beyond the 90th percentile
    for name in ("ok", "p200"):
        frame.loc[few, name] = 0.0
    for name, share in {"p503": 1.0, "upstream_error": 500.0, "overflow": 0.0}.items():
        frame.loc[few, name] = share
    frame.loc[few, ["latency_p50_s", "latency_p90_s"]] = np.nan
    fitted = fit_simulator(frame, load_scenario("S2"), seed=0)
    assert fitted.identity.constant == {"p_no_healthy_host": 0.0, "p_reset": 0.0, "p_timeout": 0.0}
    arrays = TraceArrays.of(frame)
    predicted = fitted.predict(arrays.settings).details
    assert predicted is not None
    np.testing.assert_allclose(predicted["p_overflow"].mean(), frame["overflow"].mean() / 500, rtol=0.05)
    np.testing.assert_allclose(np.median(predicted["latency_p90_s"] / predicted["latency_p50_s"]), 2, rtol=0.05)
    for name in ("p_overflow", "latency_p50_s", "latency_p90_s"):
        assert 0.8 < fitted.identity.metrics[f"coverage_90_{name}"] < 0.98


def test_it_knows_where_it_comes_from(simulator: Simulator, traces: pd.DataFrame) -> None:
    identity = simulator.identity
    assert (identity.scenario, identity.seed, identity.traces) == ("S2", 3, trace_hash(traces))
    assert identity.recipe in RECIPES
    assert {"meshgym", "numpy", "torch"} <= set(identity.versions)


def test_one_seed_gives_the_same_file(simulator: Simulator, traces: pd.DataFrame, tmp_path: Path) -> None:
    again = fit_simulator(traces, load_scenario("S2"), seed=3)
    first, second = (one.save(tmp_path / name).read_bytes() for name, one in {"a": simulator, "b": again}.items())
    assert first == second


def test_another_seed_gives_other_weights(quick: None) -> None:
    frame, scenario = synthetic_traces(60), load_scenario("S2")
    assert len({fit_simulator(frame, scenario, seed).sha256 for seed in (1, 2)}) == 2


def test_other_statuses_have_their_own_target(quick: None) -> None:
    fitted = fit_simulator(synthetic_traces(400, other=0.1), load_scenario("S2"), seed=0)
    inner = synthetic_traces(50, seed=4)
    predicted = fitted.predict(TraceArrays.of(inner).settings)
    np.testing.assert_allclose(np.mean(1 - predicted.p200 - predicted.p503), 0.1, atol=0.02)


def test_outcomes_that_never_change(quick: None) -> None:
    frame = synthetic_traces(100).assign(p503=0.0, p200=1.0)
    fitted = fit_simulator(frame, load_scenario("S2"), seed=0)
    predicted = fitted.predict(TraceArrays.of(frame).settings)
    assert not predicted.p503.any()
    assert not predicted.p503_std.any()
    assert predicted.qps_std.min() > 0


def test_progress_ends_at_the_total(quick: None) -> None:
    calls: list[tuple[int, int]] = []
    fit_simulator(synthetic_traces(60), load_scenario("S2"), 0, progress=lambda *step: calls.append(step))
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1]


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(TraceError, match="19 rows; a simulator needs 20"):
        fit_simulator(synthetic_traces(19), load_scenario("S2"))


@given(groups=st.lists(st.integers(0, 30), min_size=40, max_size=80), seed=st.integers(0, 9))
def test_repeats_stay_on_one_side(groups: list[int], seed: int) -> None:
    numbers = np.array(groups)
    train, test = TraceArrays(np.zeros((len(groups), 9)), np.zeros((len(groups), 2)), numbers).split(seed)
    assert sorted([*train, *test]) == list(range(len(numbers)))
    assert not set(numbers[train]) & set(numbers[test])


def test_runs_that_a_goal_asked_for_do_not_test() -> None:
    covers = np.arange(120) < 50
    for seed in range(5):
        arrays = TraceArrays(np.zeros((120, 9)), np.zeros((120, 2)), np.arange(120), covers=covers)
        train, test = arrays.split(seed)
        assert sorted([*train, *test]) == list(range(120))
        assert 10 <= len(test) <= 14
        assert covers[test].all()


@given(rows=st.integers(8, 200), count=st.integers(2, 8))
def test_folds_are_of_equal_size(rows: int, count: int) -> None:
    sizes = np.bincount(folds(np.arange(rows), count, seed=0), minlength=count)
    assert sizes.max() - sizes.min() <= 1


def test_the_noise_floor_is_the_noise() -> None:
    once = synthetic_traces(3000)
    assert np.isnan(noise_floor(TraceArrays.of(once.drop_duplicates(list(once)[:9])))).all()
    settings = TraceArrays.of(synthetic_traces(1, seed=5)).settings
    generator = np.random.default_rng(0)
    levels = np.repeat(np.arange(500.0), 2)
    repeated = np.repeat(settings, 1000, axis=0)
    repeated[:, 8] = levels
    targets = np.column_stack([levels + generator.normal(0, 30, 1000), generator.normal(0, 1, 1000)])
    floor = noise_floor(TraceArrays(repeated, targets, groups=levels.astype(int)))
    np.testing.assert_allclose(floor, [30**2 / targets[:, 0].var(), 1], rtol=0.15)

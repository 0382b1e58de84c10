"""Predictors for few runs: the same as scikit-learn's, in every batch, and through a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from arithmetic import SCENARIO
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from meshgym.errors import SimulatorError
from meshgym.scenarios import load_scenario
from meshgym.simulator import Simulator
from meshgym.simulator.arrays import TraceArrays
from meshgym.simulator.calibration import LEVELS
from meshgym.simulator.kinds import KINDS, Corrected, Mean, kind_of
from meshgym.simulator.predictor import Predictor, Spread, shape_of
from meshgym.simulator.selection import FEW, RECIPES
from meshgym.simulator.small import Fitted, fit_process, fit_trees
from meshgym.simulator.training import fit_simulator
from meshgym.testing import untrained_simulator
from meshgym.traces.store import check_traces

FloatArray = NDArray[np.float64]
ROWS, NOISE = 120, 0.1


def curve(inputs: FloatArray) -> FloatArray:
    return np.column_stack([np.sin(2 * inputs[:, 0]) + 0.3 * inputs[:, 1], np.tanh(3 * inputs[:, 1])])


@pytest.fixture(scope="module")
def inputs() -> FloatArray:
    return np.random.default_rng(0).normal(size=(ROWS, 4))


@pytest.fixture(scope="module")
def targets(inputs: FloatArray) -> FloatArray:
    return curve(inputs) + np.random.default_rng(1).normal(0, NOISE, (ROWS, 2))


@pytest.fixture(scope="module")
def unseen() -> FloatArray:
    return np.random.default_rng(2).normal(size=(700, 4))


@pytest.fixture(scope="module")
def fitted(inputs: FloatArray, targets: FloatArray) -> dict[str, Fitted]:
    fold = np.arange(ROWS) % 8
    return {"trees": fit_trees(inputs, targets, fold, 0), "process": fit_process(inputs, targets, fold, 0)}


def of_kind(kind: str, fitted: dict[str, Fitted]) -> Predictor:
    parts = {name: one.predictor for name, one in fitted.items()}
    corrected = Corrected(np.array([1, 3]), np.array([0.5, 2.0]), np.array([0.1, 0.0]), Mean(parts))
    found: dict[str, Predictor] = {**parts, "mean": Mean(parts), "corrected": corrected}
    return found[kind]


def test_a_correction_comes_on_top_of_what_the_inputs_say(unseen, fitted) -> None:
    mean, _ = of_kind("corrected", fitted)(unseen)
    correction, _ = of_kind("mean", fitted)(unseen)
    np.testing.assert_allclose(mean - correction, unseen[:, [1, 3]] * [0.5, 2.0] + [0.1, 0.0])


def test_trees_predict_what_scikit_learn_does(inputs, targets, unseen, fitted) -> None:
    forest = ExtraTreesRegressor(200, min_samples_leaf=2, random_state=0).fit(inputs, targets)
    mean, _ = fitted["trees"].predictor.moments(unseen)
    np.testing.assert_allclose(mean, forest.predict(unseen), atol=2**-12)


def test_a_process_predicts_what_scikit_learn_does(inputs, targets, unseen, fitted) -> None:
    process = fitted["process"].predictor
    mean, deviation = process.moments(unseen)
    for target in range(2):
        kernel = ConstantKernel(process.amplitude[target]) * Matern(process.scales[target], nu=1.5)
        kernel += WhiteKernel(process.noise[target])
        model = GaussianProcessRegressor(kernel, optimizer=None).fit(inputs, targets[:, target])
        expected, spread = model.predict(unseen, return_std=True)
        np.testing.assert_allclose(mean[:, target], expected, atol=1e-6)
        np.testing.assert_allclose(deviation[:, target], spread, rtol=1e-4)
    np.testing.assert_allclose(process.noise, NOISE**2, rtol=0.6)


@pytest.mark.parametrize("kind", FEW)
def test_their_intervals_hold_on_runs_they_have_not_seen(kind, unseen, fitted) -> None:
    drawn = curve(unseen) + np.random.default_rng(3).normal(0, NOISE, (len(unseen), 2))
    mean, quantiles = fitted[kind].predictor(unseen)
    assert quantiles.shape == (700, 2, len(LEVELS))
    low, high = (mean[..., None] + quantiles)[..., [0, -1]].transpose(2, 0, 1)
    assert 0.8 < ((low <= drawn) & (drawn <= high)).mean() < 0.97


@given(rows=st.lists(st.integers(0, 699), min_size=1, max_size=300), first=st.sampled_from([0, 1, 2, None]))
@pytest.mark.parametrize("kind", [*FEW, "mean", "corrected"])
def test_a_row_has_the_same_numbers_in_every_batch(kind, rows, first, unseen, fitted) -> None:
    predictor = of_kind(kind, fitted)
    whole = predictor(unseen, first)
    for one, some in zip(whole, predictor(unseen[rows], first), strict=True):
        np.testing.assert_array_equal(one[rows], some)


@pytest.mark.parametrize("kind", [*FEW, "mean", "corrected"])
def test_they_are_made_of_their_arrays(kind, unseen, fitted) -> None:
    predictor = of_kind(kind, fitted)
    assert kind_of(predictor) == kind
    again = KINDS[kind].from_arrays(predictor.to_arrays())
    for one, other in zip(predictor(unseen), again(unseen), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_target_that_some_runs_lack_is_learned_from_the_others(inputs, targets, unseen) -> None:
    lacking = targets.copy()
    lacking[inputs[:, 0] > 0.5, 1] = np.nan
    fold = np.arange(ROWS) % 8
    for fit, _ in FEW.values():
        mean, _ = fit(inputs, lacking, fold, 0).predictor(unseen)
        known = unseen[:, 0] < 0.3
        assert np.square(mean - curve(unseen))[known, 1].mean() < 0.15


def test_the_shape_is_that_of_the_deviations() -> None:
    generator = np.random.default_rng(0)
    mean, deviation = generator.normal(size=(5000, 1)), generator.uniform(1, 2, (5000, 1))
    shape = shape_of(mean, deviation, mean + deviation * generator.exponential(size=(5000, 1)))
    np.testing.assert_allclose(shape[0], -np.log(1 - np.array(LEVELS)), rtol=0.15)
    assert isinstance(Spread(shape).shape, np.ndarray)


def stepped_traces(rows: int, seed: int) -> pd.DataFrame:
    """A mesh of arithmetic over S2's ranges, with a step where the threads exceed the connections."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({k: generator.choice(span.values, rows) for k, span in load_scenario("S2").ranges.items()})
    share = np.where(frame["threads"] > frame["max_connections"], 0.7, 0.1) + 0.0003 * frame["calls"]
    frame["p503"] = (share + generator.normal(0, 0.02, rows)).clip(0, 1)
    frame["p200"] = 1 - frame["p503"]
    frame["qps"] = 100 * frame["threads"] * (1 + generator.normal(0, 0.05, rows))
    return check_traces(frame, "stepped")


@pytest.fixture
def quick(quick_recipe: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    with quick_recipe():
        yield


def test_few_runs_choose_among_all_kinds(quick: None, tmp_path: Path) -> None:
    fitted = fit_simulator(stepped_traces(150, seed=0), load_scenario("S2"))
    identity = fitted.identity
    assert set(identity.errors) == {*FEW, "perceptrons", "trees + process", "trees + process + perceptrons"}
    best = min(identity.errors, key=lambda name: identity.errors[name])
    assert identity.kind == ("mean" if "+" in best else best)
    assert identity.metrics["mse_validation"] == identity.errors[best]
    assert (identity.recipe in RECIPES) == ("perceptrons" in best)
    unseen = TraceArrays.of(stepped_traces(300, seed=1))
    predicted = fitted.predict(unseen.settings)
    assert np.sqrt(np.square(predicted.p503 - unseen.measured()["p503"]).mean()) < 0.15
    again = Simulator.load(fitted.save(tmp_path / "few.npz"))
    np.testing.assert_array_equal(again.predict(unseen.settings).p503, predicted.p503)
    assert again.sha256 == fitted.sha256


def test_twenty_runs_are_enough_and_say_what_to_expect(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    fit_simulator(stepped_traces(20, seed=0), load_scenario("S2"))
    assert "rests on 18 runs; in cross-validation it misses unseen ones by" in caplog.text


@pytest.mark.slow
def test_many_runs_are_left_to_perceptrons(quick: None) -> None:
    fitted = fit_simulator(stepped_traces(2600, seed=0), load_scenario("S2"))
    assert set(fitted.identity.errors) == {"perceptrons"}
    assert fitted.identity.kind == "perceptrons"


@pytest.mark.slow
def test_a_prior_that_knows_helps_and_one_that_does_not_is_left_out(quick: None, tmp_path: Path) -> None:
    scenario = load_scenario("S2")
    knowing = fit_simulator(stepped_traces(700, seed=0), scenario)
    few = stepped_traces(40, seed=1)
    few["qps"] *= 0.5  # another mesh: half as fast
    with_prior = fit_simulator(few, scenario, prior=knowing)
    assert with_prior.identity.errors.keys() >= {"trees", "prior + trees", "prior + process", "prior + mean"}
    alone = fit_simulator(few, scenario)
    about = with_prior.identity.prior
    assert about["used"]
    assert about["error"] < about["error_without"] == min(alone.identity.errors.values())
    unseen = TraceArrays.of(stepped_traces(400, seed=2))
    missed = [
        np.square(one.predict(unseen.settings).p503 - unseen.measured()["p503"]).mean() for one in (with_prior, alone)
    ]
    assert missed[0] < missed[1]
    again = Simulator.load(with_prior.save(tmp_path / "prior.npz"))
    np.testing.assert_array_equal(again.predict(unseen.settings).qps, with_prior.predict(unseen.settings).qps)

    nonsense = stepped_traces(700, seed=3)
    nonsense["qps"] = np.random.default_rng(0).permutation(nonsense["qps"])
    nonsense["p503"] = np.random.default_rng(1).permutation(nonsense["p503"])
    nonsense["p200"] = 1 - nonsense["p503"]
    misled = fit_simulator(few, scenario, prior=fit_simulator(nonsense, scenario))
    assert not misled.identity.prior["used"]
    assert misled.prior is None


def test_a_prior_of_other_fields_is_refused(quick: None) -> None:
    with pytest.raises(SimulatorError, match="the prior predicts from"):
        fit_simulator(stepped_traces(30, seed=0), load_scenario("S2"), prior=untrained_simulator(SCENARIO))

"""From a trace set to a simulator: split, selection by cross-validation, calibration, one look at the test part."""

from __future__ import annotations

import logging
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import TraceError
from meshgym.scenarios import Scenario
from meshgym.simulator.arrays import TraceArrays, folds
from meshgym.simulator.artefact import Identity, PriorFeatures, Simulator
from meshgym.simulator.calibration import calibrate
from meshgym.simulator.features import Features
from meshgym.simulator.selection import Selection, choose
from meshgym.traces.outcomes import FIRST
from meshgym.traces.store import check_scenario, check_traces, trace_hash
from meshgym.types import Progress

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
_log = logging.getLogger(__name__)

#: With fewer runs there is nothing to cross-validate; below the second number, the log says what to expect.
LEAST_ROWS, _FEW = 20, 100
#: Share of the training part that calibrates the intervals, if that makes enough runs.
HELD_SHARE, _LEAST_HELD = 0.2, 500


def fit_simulator(
    frame: pd.DataFrame,
    scenario: Scenario,
    seed: int = 0,
    progress: Progress | None = None,
    prior: Simulator | None = None,
) -> Simulator:
    """Train a simulator on most of a trace set and score it on the rest: a fifth, or a tenth of fewer than 500 runs.

    What predicts unseen folds best is taken: perceptrons, after one of several recipes; from few runs also trees,
    Gaussian processes, or a mean of several kinds. A part of a large set is held out of all that, to calibrate the
    intervals; in a small one, the folds do that too. The test part is used once, at the end.

    Args:
        frame: a trace set, at least 20 rows; below 100, a line in the log says what to expect.
        scenario: what it was collected for.
        seed: seed of split and training; the same seed gives the same weights to the last bit.
        progress: called as training goes on.
        prior: a simulator of a similar mesh, such as a bundled one or one learned in staging. Its predictions become
            inputs, unless cross-validation shows that they hurt; the log says which.

    Raises:
        TraceError: too few rows, a column or value that the schema doesn't allow, traces of another scenario, or
            sequences.
        SimulatorError: the prior predicts from other fields.
    """
    check_scenario(frame, scenario)
    if frame.attrs.get("control"):
        remedy = f"learn from them with: meshgym fit --scenario {scenario.name} --sequences FILE"
        raise TraceError(f"the traces of {scenario.name} are sequences, whose runs depend on one another; {remedy}")
    frame = check_traces(frame, f"the traces of {scenario.name}")
    if len(frame) < LEAST_ROWS:
        raise TraceError(f"the traces of {scenario.name} have {len(frame)} rows; a simulator needs {LEAST_ROWS}")
    whole = TraceArrays.of(frame)
    train, test = (whole.part(rows) for rows in whole.split(seed))
    features = Features.of(scenario)
    learned, held = _hold_out(train, seed)
    selection = choose(learned, seed, progress, features)
    about: dict[str, Any] = {}
    if prior is not None:
        selection, about = _try_prior(selection, learned, seed, prior, scenario)
        prior = prior if about["used"] else None
    if len(frame) < _FEW:
        _warn(selection, learned, scenario)
    identity = Identity(
        scenario=scenario.name,
        traces=trace_hash(frame),
        seed=seed,
        kind=selection.kind,
        recipe=selection.recipe,
        errors=selection.errors or {},
        versions={package: version(package) for package in ("meshgym", "numpy", "scikit-learn", "torch")},
        outcomes=train.outcomes,
        constant=train.constant,
        settings=features.settings,
        fixed=features.fixed,
        prior=about,
    )
    scaling = selection.scaling
    unseen = selection.unseen if held is None else selection.unseen_of(held.settings)
    calibration = calibrate(*unseen, scaling.standardise((held or learned).targets))
    simulator = Simulator(selection.predictor, scaling, identity, calibration, prior)
    metrics = score(simulator, test) | {"rows_train": float(len(learned.settings)), "mse_validation": selection.error}
    return Simulator(selection.predictor, scaling, replace(identity, metrics=metrics), calibration, prior)


def _try_prior(
    without: Selection, learned: TraceArrays, seed: int, prior: Simulator, scenario: Scenario
) -> tuple[Selection, dict[str, Any]]:
    """Return what predicts better, with or without the prior, and what to note of it."""
    prior.check_fields(scenario, "the prior")
    found = choose(learned, seed, None, PriorFeatures(without.features, prior))
    used = found.error < without.error
    _log.warning(
        f"the prior {'helps' if used else 'hurts, and is left out'}: mean squared error in cross-validation "
        f"{found.error:.3f} with it, {without.error:.3f} without"
    )
    about = {"sha256": prior.sha256, "used": used, "error": found.error, "error_without": without.error}
    return found if used else without, about


def _hold_out(train: TraceArrays, seed: int) -> tuple[TraceArrays, TraceArrays | None]:
    """Return what to learn from, and what to calibrate with; None if that is all the same."""
    if len(train.settings) < _LEAST_HELD / HELD_SHARE:
        return train, None
    held = folds(train.groups, round(1 / HELD_SHARE), seed) == 0
    return train.part(~held), train.part(held)


def _warn(selection: Selection, learned: TraceArrays, scenario: Scenario) -> None:
    """Say what to expect of a simulator that rests on few runs."""
    missed = selection.scaling.to_units(selection.unseen[0]) - learned.targets
    rms = dict(zip(learned.outcomes, np.sqrt(np.nanmean(np.square(missed), axis=0)), strict=True))
    _log.warning(
        f"the simulator of {scenario.name} rests on {len(learned.settings)} runs; in cross-validation it misses unseen "
        f"ones by {rms['qps']:.0f} calls per second and {rms['p503']:.2f} of p503 (root mean square)"
    )


def score(simulator: Simulator, test: TraceArrays) -> dict[str, float]:
    """Measure how well a simulator predicts runs that it hasn't seen.

    Returns:
        ``mse`` on standardised qps and p503 (mean over both, as in the paper's Table 4); for each outcome ``rmse_*``
        in its unit, and ``coverage_90_*``, the share of runs within the 90 % interval.
    """
    predicted, intervals = simulator.predict(test.settings), simulator.intervals(test.settings)
    expected = {**predicted._asdict(), **(predicted.details or {})}
    errors, scores = {}, {"mse": 0.0}
    for name, measured in test.measured().items():
        known = ~np.isnan(measured)
        errors[name] = (measured - expected[name])[known]
        scores[f"rmse_{name}"] = float(np.sqrt(np.square(errors[name]).mean()))
        scores[f"coverage_90_{name}"] = float(inside(intervals[name], measured)[known].mean())
    for name, scale in zip(FIRST, simulator.scaling.output_scale, strict=False):
        scores["mse"] += float(np.square(errors[name] / (scale or 1.0)).mean()) / len(FIRST)
    return scores


def inside(interval: FloatArray, measured: FloatArray) -> NDArray[np.bool_]:
    """Return which runs lie within their intervals, shape (n,); not those without the outcome.

    Args:
        interval: shape (n, 2).
        measured: shape (n,).
    """
    low, high = interval.T
    return np.asarray((low <= measured) & (measured <= high))

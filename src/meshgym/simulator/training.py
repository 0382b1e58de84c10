"""From a trace set to a simulator: split, selection by cross-validation, calibration, one look at the test part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import TraceError
from meshgym.fields import settings_among
from meshgym.scenarios import Scenario
from meshgym.simulator.artefact import Identity, Simulator
from meshgym.simulator.calibration import calibrate
from meshgym.simulator.features import Features
from meshgym.simulator.outcomes import to_range, to_target
from meshgym.simulator.perceptron import NOISY, PAPER_FEATURES, SMALL, SMOOTH, STEPPED, PerceptronEnsemble, Recipe
from meshgym.traces.outcomes import FIRST, outcomes_in
from meshgym.traces.quality import group_by_setting, pure_error
from meshgym.traces.store import check_scenario, check_traces, trace_hash
from meshgym.types import SETTING_NAMES, Progress

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

TEST_SHARE = 0.2
LEAST_ROWS = 50
#: Share of the training part that calibrates the intervals, if that makes enough runs.
HELD_SHARE, _LEAST_HELD = 0.2, 500
#: An outcome that fewer runs have isn't learned.
_LEAST_KNOWN = 20
RECIPES: dict[str, Recipe] = {"noisy": NOISY, "small": SMALL, "smooth": SMOOTH, "stepped": STEPPED}


@dataclass(frozen=True)
class TraceArrays:
    """A trace set as arrays.

    Attributes:
        settings: shape (n, columns): rules that vary, then the load.
        targets: outcomes as models learn them, shape (n, targets); NaN where a run has none.
        groups: number of the group that each row belongs to, shape (n,); groups are never split.
        names: columns of the settings.
        outcomes: names of the targets.
        constant: further outcomes, which are the same in all rows.
    """

    settings: FloatArray
    targets: FloatArray
    groups: Rows
    names: tuple[str, ...] = SETTING_NAMES
    outcomes: tuple[str, ...] = FIRST
    constant: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pd.DataFrame, blocks: int | None = None) -> TraceArrays:
        """Make arrays of a trace set.

        Args:
            frame: a checked trace set.
            blocks: cut the set into so many blocks of successive rows, which are the groups; None: all runs of a
                setting are a group.
        """
        names = settings_among(frame)
        settings = frame[list(names)].to_numpy(np.float64)
        groups = group_by_setting(settings) if blocks is None else np.arange(len(frame)) * blocks // len(frame)
        found = outcomes_in(frame)
        known = {name: values[~np.isnan(values)] for name, values in found.items()}
        constant = {name: own[0] for name, own in known.items() if name not in FIRST and len(own) and not np.ptp(own)}
        enough = {name for name, own in known.items() if len(own) >= _LEAST_KNOWN} - constant.keys()
        outcomes = tuple(name for name in found if name in FIRST or name in enough)
        targets = np.column_stack([to_target(name, found[name]) for name in outcomes])
        return cls(settings, targets, groups, names, outcomes, constant)

    def measured(self) -> dict[str, FloatArray]:
        """Return what was measured of each outcome, in its unit, shape (n,); NaN where a run has none."""
        return {name: to_range(name, self.targets[:, number]) for number, name in enumerate(self.outcomes)}

    def part(self, rows: Any) -> TraceArrays:
        """Return some of the rows."""
        return replace(self, settings=self.settings[rows], targets=self.targets[rows], groups=self.groups[rows])


def split(groups: Rows, seed: int) -> tuple[Rows, Rows]:
    """Return the rows of the training and of the test part; all rows of a group stay together.

    Args:
        groups: shape (n,).
        seed: seed of the draw.
    """
    test = folds(groups, round(1 / TEST_SHARE), seed) == 0
    return np.flatnonzero(~test), np.flatnonzero(test)


def folds(groups: Rows, count: int, seed: int) -> Rows:
    """Draw folds of about equal size that keep groups together; return each row's, 0..count-1, shape (n,)."""
    names, inverse = np.unique(groups, return_inverse=True)
    fold_of_group = np.random.default_rng(seed).permutation(len(names)) % count
    chosen: Rows = fold_of_group[inverse]
    return chosen


def fit_simulator(
    frame: pd.DataFrame, scenario: Scenario, seed: int = 0, progress: Progress | None = None
) -> Simulator:
    """Train a simulator on four fifths of a trace set and score it on the rest.

    Each recipe trains an ensemble whose members leave out one fold each. The members' predictions of the fold that
    they haven't seen decide which recipe is taken. A part of a large set is held out of all that, to calibrate the
    intervals; in a small one, the folds do that too. The test part is used once, at the end.

    Args:
        frame: a trace set, at least 50 rows.
        scenario: what it was collected for.
        seed: seed of split and training; the same seed gives the same weights to the last bit.
        progress: called as training goes on.

    Raises:
        TraceError: too few rows, a column or value that the schema doesn't allow, or traces of another scenario.
    """
    check_scenario(frame, scenario)
    frame = check_traces(frame, f"the traces of {scenario.name}")
    if len(frame) < LEAST_ROWS:
        raise TraceError(f"the traces of {scenario.name} have {len(frame)} rows; a simulator needs {LEAST_ROWS}")
    whole = TraceArrays.of(frame)
    train, test = (whole.part(rows) for rows in split(whole.groups, seed))
    features = Features.of(scenario)
    learned, held = _hold_out(train, seed)
    selection = select(learned, seed, progress, features)
    model = selection.model
    identity = Identity(
        scenario=scenario.name,
        traces=trace_hash(frame),
        seed=seed,
        recipe=selection.recipe,
        versions={package: version(package) for package in ("meshgym", "numpy", "torch")},
        outcomes=train.outcomes,
        constant=train.constant,
        settings=features.settings,
        fixed=features.fixed,
    )
    if held is None:
        calibration = calibrate(*selection.unseen, model.standardise(learned.targets))
    else:
        mean, residual = (part.mean(axis=0) for part in model.predict_distributions(held.settings))
        calibration = calibrate(mean, residual, model.standardise(held.targets))
    simulator = Simulator(model.ensemble_, model.scaling_, identity, calibration)
    metrics = score(simulator, test) | {"rows_train": float(len(learned.settings)), "mse_validation": selection.error}
    return Simulator(model.ensemble_, model.scaling_, replace(identity, metrics=metrics), calibration)


def _hold_out(train: TraceArrays, seed: int) -> tuple[TraceArrays, TraceArrays | None]:
    """Return what to learn from, and what to calibrate with; None if that is all the same."""
    if len(train.settings) < _LEAST_HELD / HELD_SHARE:
        return train, None
    held = folds(train.groups, round(1 / HELD_SHARE), seed) == 0
    return train.part(~held), train.part(held)


class Selection(NamedTuple):
    """What :func:`select` found.

    Attributes:
        recipe: its name.
        model: the fitted ensemble.
        unseen: what a member that hasn't seen it predicts of each row: standardised targets, shape (n, targets), and
            quantiles of their deviations, shape (n, targets, levels).
        error: mean squared error of the first of these targets.
    """

    recipe: str
    model: PerceptronEnsemble
    unseen: tuple[FloatArray, FloatArray]
    error: float


def select(
    train: TraceArrays, seed: int, progress: Progress | None = None, features: Features = PAPER_FEATURES
) -> Selection:
    """Choose the recipe that predicts unseen folds best."""
    found = []
    for number, (name, recipe) in enumerate(RECIPES.items()):
        fold = folds(train.groups, recipe.members, seed)
        member_rows = [np.flatnonzero(fold != member) for member in range(recipe.members)]
        model = PerceptronEnsemble(recipe, seed, _part_of(progress, number, len(RECIPES)), features)
        model.fit(train.settings, train.targets, member_rows)
        mean, residual = (part[fold, np.arange(len(fold))] for part in model.predict_distributions(train.settings))
        error = np.square(mean - model.standardise(train.targets))[:, : len(FIRST)].mean()
        found.append(Selection(name, model, (mean, residual), float(error)))
    return min(found, key=lambda selection: selection.error)


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


def noise_floor(measured: TraceArrays) -> FloatArray:
    """Return the lowest error that a model can have: the standardised variance between runs of one setting.

    Returns:
        Shape (targets,); NaN if no setting was run twice.
    """
    within = pure_error(measured.targets, group_by_setting(measured.settings))
    variance = np.nanvar(measured.targets, axis=0)
    floor: FloatArray = np.divide(within, variance, out=0 * within, where=variance > 0)
    return floor


def _part_of(progress: Progress | None, number: int, total: int) -> Progress | None:
    """Return the progress of one of ``total`` equal parts, in thousandths of the whole."""
    if progress is None:
        return None
    return lambda done, steps: progress(round(1000 * (number + done / steps) / total), 1000)

"""From a trace set to a simulator: split, selection by cross-validation, calibration, one look at the test part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import TraceError
from meshgym.fields import settings_among
from meshgym.scenarios import Scenario
from meshgym.simulator.artefact import NINETY, Identity, Simulator
from meshgym.simulator.features import Features
from meshgym.simulator.perceptron import NOISY, PAPER_FEATURES, SMALL, SMOOTH, STEPPED, PerceptronEnsemble, Recipe
from meshgym.traces.quality import OUTPUTS, group_by_setting, pure_error
from meshgym.traces.store import check_scenario, check_traces, trace_hash
from meshgym.types import SETTING_NAMES, Progress

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

TEST_SHARE = 0.2
LEAST_ROWS = 50
RECIPES: dict[str, Recipe] = {"noisy": NOISY, "small": SMALL, "smooth": SMOOTH, "stepped": STEPPED}


@dataclass(frozen=True)
class TraceArrays:
    """A trace set as arrays.

    Attributes:
        settings: shape (n, columns): rules that vary, then the load.
        targets: qps, p503 and, unless p200 is always 1 - p503, p200; shape (n, 2 or 3).
        groups: number of the group that each row belongs to, shape (n,); groups are never split.
        names: columns of the settings.
    """

    settings: FloatArray
    targets: FloatArray
    groups: Rows
    names: tuple[str, ...] = SETTING_NAMES

    @classmethod
    def of(cls, frame: pd.DataFrame, blocks: int | None = None) -> TraceArrays:
        """Make arrays of a trace set.

        Args:
            frame: a checked trace set.
            blocks: cut the set into so many blocks of successive rows, which are the groups; None: all runs of a
                setting are a group.
        """
        outputs = [*OUTPUTS]
        if not np.allclose(frame["p200"] + frame["p503"], 1, atol=1e-6):
            outputs.append("p200")
        names = settings_among(frame)
        settings = frame[list(names)].to_numpy(np.float64)
        groups = group_by_setting(settings) if blocks is None else np.arange(len(frame)) * blocks // len(frame)
        return cls(settings, frame[outputs].to_numpy(np.float64), groups, names)

    def part(self, rows: Any) -> TraceArrays:
        """Return some of the rows."""
        return TraceArrays(self.settings[rows], self.targets[rows], self.groups[rows], self.names)


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
    they haven't seen decide which recipe is taken, and calibrate its spread. The test part is used once, at the end.

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
    name, model, unseen = select(train, seed, progress, features)
    identity = Identity(
        scenario=scenario.name,
        traces=trace_hash(frame),
        seed=seed,
        recipe=name,
        versions={package: version(package) for package in ("meshgym", "numpy", "torch")},
        settings=features.settings,
        fixed=features.fixed,
    )
    simulator = calibrated(Simulator(model.ensemble_, model.scaling_, identity), train, unseen)
    metrics = score(simulator, test) | {"rows_train": float(len(train.settings)), "mse_validation": _mse(unseen, train)}
    return Simulator(simulator.ensemble, simulator.scaling, replace(identity, metrics=metrics))


def select(
    train: TraceArrays, seed: int, progress: Progress | None = None, features: Features = PAPER_FEATURES
) -> tuple[str, PerceptronEnsemble, FloatArray]:
    """Choose the recipe that predicts unseen folds best.

    Returns:
        Its name, the fitted ensemble, and for each row the prediction of a member that hasn't seen it, shape (n, 2..3).
    """
    candidates = []
    for number, (name, recipe) in enumerate(RECIPES.items()):
        fold = folds(train.groups, recipe.members, seed)
        member_rows = [np.flatnonzero(fold != member) for member in range(recipe.members)]
        model = PerceptronEnsemble(recipe, seed, _part_of(progress, number, len(RECIPES)), features)
        model.fit(train.settings, train.targets, member_rows)
        unseen = model.predict_members(train.settings)[fold, np.arange(len(fold))]
        candidates.append((_mse(unseen, train), name, model, unseen))
    return min(candidates, key=lambda candidate: candidate[0])[1:]


def calibrated(simulator: Simulator, train: TraceArrays, unseen: FloatArray) -> Simulator:
    """Return the simulator with a spread whose 90 % intervals hold 90 % of the unseen runs."""
    error = train.targets - unseen
    predicted = simulator.predict(train.settings)
    stds = np.column_stack([predicted.qps_std, predicted.p503_std]).astype(np.float64)
    ratio = np.abs(error[:, :2]) / np.maximum(stds, 1e-12)
    spread = simulator.scaling.spread.copy()  # nobody uses that of p200
    spread[:2] = np.quantile(ratio, 0.9, axis=0) / NINETY
    moving = (error[:, :2].std(axis=0) > 0).all()
    correlation = np.corrcoef(error[:, 0], error[:, 1])[0, 1] if moving else 0.0
    scaling = replace(simulator.scaling, spread=spread, correlation=np.array(correlation))
    return Simulator(simulator.ensemble, scaling, simulator.identity)


def score(simulator: Simulator, test: TraceArrays) -> dict[str, float]:
    """Measure how well a simulator predicts runs that it hasn't seen.

    Returns:
        ``mse`` on standardised qps and p503 (mean over both, as in the paper's Table 4), and for each of them
        ``mse_*``, ``rmse_*`` in units, and ``coverage_90_*``, the share within the 90 % interval.
    """
    predicted = simulator.predict(test.settings)
    scores = {"mse": 0.0}
    for number, name in enumerate(OUTPUTS):
        error = test.targets[:, number] - getattr(predicted, name)
        scale = simulator.scaling.output_scale[number]
        mse = float(np.square(error / scale if scale > 0 else error).mean())
        scores["mse"] += mse / 2
        scores[f"mse_{name}"] = mse
        scores[f"rmse_{name}"] = float(np.sqrt(np.square(error).mean()))
        scores[f"coverage_90_{name}"] = float((np.abs(error) <= NINETY * getattr(predicted, f"{name}_std")).mean())
    return scores


def noise_floor(measured: TraceArrays) -> FloatArray:
    """Return the lowest error that a model can have: the standardised variance between runs of one setting.

    Returns:
        Shape (targets,); NaN if no setting was run twice.
    """
    within = pure_error(measured.targets, group_by_setting(measured.settings))
    variance = measured.targets.var(axis=0)
    floor: FloatArray = np.divide(within, variance, out=0 * within, where=variance > 0)
    return floor


def _mse(predicted: FloatArray, measured: TraceArrays) -> float:
    scale = measured.targets.std(axis=0)
    error = (predicted - measured.targets) / np.where(scale > 0, scale, 1.0)
    return float(np.square(error[:, :2]).mean())


def _part_of(progress: Progress | None, number: int, total: int) -> Progress | None:
    """Return the progress of one of ``total`` equal parts, in thousandths of the whole."""
    if progress is None:
        return None
    return lambda done, steps: progress(round(1000 * (number + done / steps) / total), 1000)

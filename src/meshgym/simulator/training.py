"""From a trace set to a simulator: split, selection by cross-validation, calibration, one look at the test part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import TraceError
from meshgym.scenarios import Scenario
from meshgym.simulator.artefact import NINETY, Identity, Simulator
from meshgym.simulator.perceptron import NOISY, SMALL, SMOOTH, STEPPED, PerceptronEnsemble, Recipe
from meshgym.traces.store import check_traces, trace_hash
from meshgym.types import SETTING_NAMES, Progress

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

TEST_SHARE = 0.2
LEAST_ROWS = 50
RECIPES: dict[str, Recipe] = {"noisy": NOISY, "small": SMALL, "smooth": SMOOTH, "stepped": STEPPED}


@dataclass(frozen=True)
class Measurements:
    """A trace set as arrays.

    Attributes:
        settings: shape (n, 9), columns as ``SETTING_NAMES``.
        targets: qps, p503 and, where 200s are not simply what is no 503, p200; shape (n, 2 or 3).
        groups: number of the group each row belongs to, shape (n,); groups are never split.
    """

    settings: FloatArray
    targets: FloatArray
    groups: Rows

    @classmethod
    def of(cls, frame: pd.DataFrame, blocks: int | None = None) -> Measurements:
        """From a trace set.

        Args:
            frame: a checked trace set.
            blocks: cut the set into so many blocks of successive rows and make these the groups;
                None: the repeats of a setting are a group.
        """
        names = ["qps", "p503"]
        if not np.allclose(frame["p200"] + frame["p503"], 1, atol=1e-6):
            names.append("p200")
        settings = frame[list(SETTING_NAMES)].to_numpy(np.float64)
        groups = _same_setting(settings) if blocks is None else np.arange(len(frame)) * blocks // len(frame)
        return cls(settings, frame[names].to_numpy(np.float64), groups)

    def part(self, rows: Any) -> Measurements:
        """Some of the rows."""
        return Measurements(self.settings[rows], self.targets[rows], self.groups[rows])


def _same_setting(settings: FloatArray) -> Rows:
    inverse: Rows = np.unique(settings, axis=0, return_inverse=True)[1].reshape(-1)
    return inverse


def split(groups: Rows, seed: int) -> tuple[Rows, Rows]:
    """Rows of the training and of the test part; all rows of a group stay together.

    Args:
        groups: shape (n,).
        seed: of the draw.
    """
    test = folds(groups, round(1 / TEST_SHARE), seed) == 0
    return np.flatnonzero(~test), np.flatnonzero(test)


def folds(groups: Rows, count: int, seed: int) -> Rows:
    """A fold 0..count-1 for each row, shape (n,): drawn, of about equal size, groups kept together."""
    names, inverse = np.unique(groups, return_inverse=True)
    fold_of_group = np.random.default_rng(seed).permutation(len(names)) % count
    chosen: Rows = fold_of_group[inverse]
    return chosen


def fit_simulator(
    frame: pd.DataFrame, scenario: Scenario, seed: int = 0, progress: Progress | None = None
) -> Simulator:
    """Train a simulator on four fifths of a trace set and measure it on the rest.

    Each recipe trains an ensemble whose members leave out one fold each. What the members say about
    the fold they have not seen chooses the recipe and calibrates the spread; the test part is looked
    at once, at the end.

    Args:
        frame: a trace set, at least 50 rows.
        scenario: what it was collected for.
        seed: of split and training; one seed gives the same weights to the last bit.
        progress: told the steps done and their total.

    Raises:
        TraceError: too few rows, or a column or value the schema does not allow.
    """
    frame = check_traces(frame, f"the traces of {scenario.name}")
    if len(frame) < LEAST_ROWS:
        raise TraceError(f"the traces of {scenario.name} have {len(frame)} rows; a simulator needs {LEAST_ROWS}")
    whole = Measurements.of(frame)
    train, test = (whole.part(rows) for rows in split(whole.groups, seed))
    name, model, unseen = select(train, seed, progress)
    identity = Identity(
        scenario=scenario.name,
        traces=trace_hash(frame),
        seed=seed,
        recipe=name,
        versions={package: version(package) for package in ("meshgym", "numpy", "torch")},
    )
    simulator = calibrated(Simulator(model.ensemble_, model.scaling_, identity), train, unseen)
    metrics = score(simulator, test) | {"rows_train": float(len(train.settings)), "mse_validation": _mse(unseen, train)}
    return Simulator(simulator.ensemble, simulator.scaling, replace(identity, metrics=metrics))


def select(
    train: Measurements, seed: int, progress: Progress | None = None
) -> tuple[str, PerceptronEnsemble, FloatArray]:
    """The recipe that predicts unseen folds best.

    Returns:
        Its name, the fitted ensemble, and for each row the prediction of a member that has not seen it.
    """
    candidates = []
    for number, (name, recipe) in enumerate(RECIPES.items()):
        fold = folds(train.groups, recipe.members, seed)
        member_rows = [np.flatnonzero(fold != member) for member in range(recipe.members)]
        model = PerceptronEnsemble(recipe, seed, _part_of(progress, number, len(RECIPES)))
        model.fit(train.settings, train.targets, member_rows)
        unseen = model.predict_members(train.settings)[fold, np.arange(len(fold))]
        candidates.append((_mse(unseen, train), name, model, unseen))
    return min(candidates, key=lambda candidate: candidate[0])[1:]


def calibrated(simulator: Simulator, train: Measurements, unseen: FloatArray) -> Simulator:
    """The simulator with a spread under which 90 % of unseen measurements lie in their 90 % interval."""
    error = train.targets - unseen
    answer = simulator.predict(train.settings)
    stds = np.column_stack([answer.qps_std, answer.p503_std]).astype(np.float64)
    ratio = np.abs(error[:, :2]) / np.maximum(stds, 1e-12)
    spread = simulator.scaling.spread.copy()  # that of p200 is not asked for
    spread[:2] = np.quantile(ratio, 0.9, axis=0) / NINETY
    moving = (error[:, :2].std(axis=0) > 0).all()
    correlation = np.corrcoef(error[:, 0], error[:, 1])[0, 1] if moving else 0.0
    scaling = replace(simulator.scaling, spread=spread, correlation=np.array(correlation))
    return Simulator(simulator.ensemble, scaling, simulator.identity)


def score(simulator: Simulator, test: Measurements) -> dict[str, float]:
    """How well a simulator predicts measurements it has not seen.

    Returns:
        ``mse`` on standardised qps and p503 (mean over both, as the paper's Table 4) and for each of them
        ``mse_*``, ``rmse_*`` in units, and ``coverage_90_*``, the share within the 90 % interval.
    """
    answer = simulator.predict(test.settings)
    scores = {"mse": 0.0}
    for number, name in enumerate(("qps", "p503")):
        error = test.targets[:, number] - getattr(answer, name)
        scale = simulator.scaling.output_scale[number]
        mse = float(np.square(error / scale if scale > 0 else error).mean())
        scores["mse"] += mse / 2
        scores[f"mse_{name}"] = mse
        scores[f"rmse_{name}"] = float(np.sqrt(np.square(error).mean()))
        scores[f"coverage_90_{name}"] = float((np.abs(error) <= NINETY * getattr(answer, f"{name}_std")).mean())
    return scores


def noise_floor(measured: Measurements) -> FloatArray:
    """What no model can get below: the standardised variance between runs of one setting.

    Returns:
        Shape (targets,); NaN where no setting was run twice.
    """
    names, group, runs = np.unique(_same_setting(measured.settings), return_inverse=True, return_counts=True)
    free = len(group) - len(names)
    if free == 0:
        return np.full(measured.targets.shape[1], np.nan)
    sums = np.zeros((len(names), measured.targets.shape[1]))
    np.add.at(sums, group, measured.targets)
    within = np.square(measured.targets - (sums / runs[:, None])[group]).sum(axis=0) / free
    variance = measured.targets.var(axis=0)
    floor: FloatArray = np.divide(within, variance, out=np.zeros_like(within), where=variance > 0)
    return floor


def _mse(predicted: FloatArray, measured: Measurements) -> float:
    scale = measured.targets.std(axis=0)
    error = (predicted - measured.targets) / np.where(scale > 0, scale, 1.0)
    return float(np.square(error[:, :2]).mean())


def _part_of(progress: Progress | None, number: int, total: int) -> Callable[[int, int], None] | None:
    """Progress of one of ``total`` equal parts, told in thousandths of the whole."""
    if progress is None:
        return None
    return lambda done, steps: progress(round(1000 * (number + done / steps) / total), 1000)

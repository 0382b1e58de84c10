"""Which kind of predictor, and which recipe of perceptrons, predicts unseen folds best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meshgym.simulator.arrays import TraceArrays, folds
from meshgym.simulator.features import Features
from meshgym.simulator.kinds import Corrected, Mean, kind_of
from meshgym.simulator.perceptron import NOISY, PAPER_FEATURES, SMALL, SMOOTH, STEPPED, PerceptronEnsemble, Recipe
from meshgym.simulator.predictor import Predictor
from meshgym.simulator.scaling import Scaling
from meshgym.simulator.small import Fit, fit_process, fit_trees
from meshgym.traces.outcomes import FIRST
from meshgym.types import Progress

FloatArray = NDArray[np.float64]

RECIPES: dict[str, Recipe] = {"noisy": NOISY, "small": SMALL, "smooth": SMOOTH, "stepped": STEPPED}
#: Other kinds than perceptrons: how to fit them, and the most runs they are tried with. More take long, and perceptrons
#: predict better from them.
FEW: dict[str, tuple[Fit, int]] = {"trees": (fit_trees, 2000), "process": (fit_process, 500)}
#: Folds of cross-validation for these kinds.
_FOLDS = 8


@dataclass(frozen=True)
class Selection:
    """What predicts unseen folds best.

    Attributes:
        predictor: learned from the whole training part.
        scaling, features: its inputs and targets.
        unseen: what is predicted of each row without having learned from it: standardised targets, shape (n, targets),
            and quantiles of their deviations, shape (n, targets, levels).
        error: mean squared error of the first of these targets.
        recipe: name of the perceptrons' recipe; empty without perceptrons.
        errors: the error of everything that was tried.
    """

    predictor: Predictor
    scaling: Scaling
    features: Features
    unseen: tuple[FloatArray, FloatArray]
    error: float
    recipe: str = ""
    errors: Mapping[str, float] | None = None

    @property
    def kind(self) -> str:
        """Name of the predictor's kind."""
        return kind_of(self.predictor)

    def unseen_of(self, settings: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the same of settings, shape (n, columns), that weren't in the training part."""
        return self.predictor(self._inputs(settings))

    def predict(self, settings: FloatArray) -> FloatArray:
        """Return the expected targets in units, shape (n, targets), of settings, shape (n, columns)."""
        mean, _ = self.predictor(self._inputs(settings), 0)
        return self.scaling.to_units(mean)

    def _inputs(self, settings: FloatArray) -> FloatArray:
        return self.scaling.inputs(self.features.derive(settings))


def choose(train: TraceArrays, seed: int, progress: Progress | None, features: Features) -> Selection:
    """Choose among perceptrons and, for few runs, the other kinds, the means of several, and corrections of a prior.

    Args:
        train: what to learn from.
        seed: of folds and training.
        progress: called as training goes on.
        features: of the settings.
    """
    few = [fit for fit, most in FEW.values() if len(train.settings) <= most]
    derived = features.derive(train.settings)
    scaling = Scaling.of(train.settings, derived, train.targets)
    inputs, targets = scaling.inputs(derived), scaling.standardise(train.targets)
    fold = folds(train.groups, _FOLDS, seed)

    def learn(targets: FloatArray) -> list[Selection]:
        fitted = (fit(inputs, targets, fold, seed) for fit in few)
        return [Selection(o.predictor, scaling, features, o.unseen, _error(o.unseen[0], targets)) for o in fitted]

    alone = learn(targets)
    perceptrons = select(train, seed, progress, features)
    found = {one.kind: one for one in (*alone, perceptrons)}
    for parts in (alone, [*alone, perceptrons]):
        if len(parts) > 1:
            found[" + ".join(one.kind for one in parts)] = _mean(parts, targets)
    if few and features.predictions:
        prior, rest = _prior(scaling, features, inputs, targets)
        known = np.zeros_like(targets)
        known[:, : features.predictions] = prior.base(inputs)
        corrections = learn(rest)
        corrections += [_mean(corrections, rest)] if len(corrections) > 1 else []
        for one in corrections:
            mean, quantiles = one.unseen
            unseen = mean + known, quantiles
            found[f"prior + {one.kind}"] = replace(one, predictor=replace(prior, part=one.predictor), unseen=unseen)
    best = min(found.values(), key=lambda one: one.error)
    return replace(best, errors={name: one.error for name, one in found.items()})


def _prior(
    scaling: Scaling, features: Features, inputs: FloatArray, targets: FloatArray
) -> tuple[Corrected, FloatArray]:
    """Return a prior that waits for its correction, and the targets that are left to learn."""
    count = features.predictions
    columns = np.arange(len(features.names) - count, len(features.names))
    scale = np.where(scaling.output_scale[:count] > 0, scaling.output_scale[:count], 1.0)
    offset = (scaling.input_mean[columns] - scaling.output_mean[:count]) / scale
    prior = Corrected(columns, scaling.input_scale[columns] / scale, offset, Mean({}))
    rest = targets.copy()
    rest[:, :count] -= prior.base(inputs)
    return prior, rest


def _mean(parts: list[Selection], targets: FloatArray) -> Selection:
    """Return the mean of several; the last one's inputs begin with those of the others."""
    mean, quantiles = (sum(own) / len(parts) for own in zip(*(one.unseen for one in parts), strict=True))
    predictor = Mean({one.kind: one.predictor for one in parts})
    return replace(parts[-1], predictor=predictor, unseen=(mean, quantiles), error=_error(mean, targets))


def select(
    train: TraceArrays, seed: int, progress: Progress | None = None, features: Features = PAPER_FEATURES
) -> Selection:
    """Choose the recipe of perceptrons that predicts unseen folds best.

    Each recipe trains an ensemble whose members leave out one fold each.
    """
    found = []
    for number, (name, recipe) in enumerate(RECIPES.items()):
        fold = folds(train.groups, recipe.members, seed)
        member_rows = [np.flatnonzero(fold != member) for member in range(recipe.members)]
        model = PerceptronEnsemble(recipe, seed, _part_of(progress, number, len(RECIPES)), features)
        model.fit(train.settings, train.targets, member_rows)
        mean, residual = (part[fold, np.arange(len(fold))] for part in model.predict_distributions(train.settings))
        error = _error(mean, model.scaling_.standardise(train.targets))
        found.append(Selection(model.predictor_, model.scaling_, features, (mean, residual), error, name))
    return min(found, key=lambda selection: selection.error)


def _error(mean: FloatArray, targets: FloatArray) -> float:
    return float(np.square(mean - targets)[:, : len(FIRST)].mean())


def _part_of(progress: Progress | None, number: int, total: int) -> Progress | None:
    """Return the progress of one of ``total`` equal parts, in thousandths of the whole."""
    if progress is None:
        return None
    return lambda done, steps: progress(round(1000 * (number + done / steps) / total), 1000)

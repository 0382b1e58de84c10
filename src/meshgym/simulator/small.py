"""Learners for few runs: trees and Gaussian processes, trained with scikit-learn and kept as plain arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from meshgym.errors import MissingDependencyError
from meshgym.simulator.network import quantise
from meshgym.simulator.predictor import NORMAL, Spread, shape_of
from meshgym.simulator.process import Process
from meshgym.simulator.trees import Trees

try:
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
except ImportError as error:
    raise MissingDependencyError("scikit-learn", "learning from few runs", "simulator") from error

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

_TREES = 200
_LEAF = 2
#: Rows that choose the length scales of a process; each step takes time with their cube.
_MOST_ROWS = 300
#: Mean and standard deviation of the logarithms of length scales, before anything is learned.
_USUAL, _SPREAD = 2.0, 1.0
#: The floor under the spread of trees, as a share of their typical error: where all of them agree, they may still err.
_FLOOR = 0.5


class Fitted(NamedTuple):
    """A predictor, and what it predicts of each row that it hasn't learned from.

    Attributes:
        predictor: learned from all rows.
        unseen: means, shape (n, targets), and quantiles of the deviations, shape (n, targets, levels).
    """

    predictor: Spread
    unseen: tuple[FloatArray, FloatArray]


#: How a kind is fitted: arguments and result as of :func:`fit_trees`.
Fit = Callable[[FloatArray, FloatArray, Rows, int], Fitted]


def fit_trees(inputs: FloatArray, targets: FloatArray, fold: Rows, seed: int) -> Fitted:
    """Fit trees.

    Args:
        inputs: standardised, shape (n, inputs).
        targets: standardised, shape (n, targets); NaN where there is none.
        fold: of each row in cross-validation, shape (n,).
        seed: of the draws.
    """
    whole = grow(inputs, targets, seed)
    mean, deviation = _unseen(lambda rows: grow(inputs[rows], targets[rows], seed), inputs, targets, fold)
    floor = _FLOOR * np.sqrt(np.nanmean(np.square(mean - targets), axis=0))
    return _shaped(replace(whole, floor=floor), mean, np.sqrt(np.square(deviation) + np.square(floor)), targets)


def fit_process(inputs: FloatArray, targets: FloatArray, fold: Rows, seed: int) -> Fitted:
    """Fit a Gaussian process to each target; arguments and result as of :func:`fit_trees`.

    The length scales are those of all rows in each fold, too: there are few of them, and they take most of the time.
    """
    kernels = [likeliest(inputs, own, seed) for own in targets.T]
    scales, amplitude, noise = (np.array(part) for part in zip(*kernels, strict=True))

    def condition(rows: Any) -> Process:
        own, known = targets[rows], ~np.isnan(targets[rows])
        shape = np.tile(NORMAL, (targets.shape[1], 1))
        return Process(shape, inputs[rows], np.where(known, own, 0.0), known, scales, amplitude, noise)

    return _shaped(condition(slice(None)), *_unseen(condition, inputs, targets, fold), targets)


def _unseen(
    learn: Callable[[Any], Spread], inputs: FloatArray, targets: FloatArray, fold: Rows
) -> tuple[FloatArray, FloatArray]:
    """Return what predictors that haven't learned from a row expect of it, and their standard deviations."""
    mean, deviation = np.empty_like(targets), np.empty_like(targets)
    for number in np.unique(fold):
        own = fold == number
        mean[own], deviation[own] = learn(~own).moments(inputs[own])
    return mean, deviation


def _shaped(predictor: Spread, mean: FloatArray, deviation: FloatArray, targets: FloatArray) -> Fitted:
    shape = shape_of(mean, deviation, targets)
    return Fitted(replace(predictor, shape=shape), (mean, deviation[..., None] * shape))


def grow(inputs: FloatArray, targets: FloatArray, seed: int) -> Trees:
    """Grow trees without a floor. A target that a run lacks counts neither for splits nor for values.

    Args:
        inputs, targets, seed: as of :func:`fit_trees`.
    """
    known = ~np.isnan(targets)
    filled = np.where(known, targets, 0.0)
    learned = filled if filled.shape[1] > 1 else filled.ravel()
    forest = ExtraTreesRegressor(_TREES, min_samples_leaf=_LEAF, random_state=seed).fit(inputs, learned)
    trees, start = [], 0
    for estimator in forest.estimators_:
        path = estimator.tree_.decision_path(inputs.astype(np.float32)).astype(np.float64).T
        trees.append(_flatten(estimator.tree_, path @ filled, path @ known, start))
        start += estimator.tree_.node_count
    columns, thresholds, lefts, values = (np.concatenate(part) for part in zip(*trees, strict=True))
    counts = [estimator.tree_.node_count for estimator in forest.estimators_]
    return Trees(
        shape=np.tile(NORMAL, (targets.shape[1], 1)),
        roots=np.cumsum([0, *counts[:-1]]).astype(np.int32),
        depths=np.array([estimator.tree_.max_depth for estimator in forest.estimators_], np.int32),
        column=columns,
        threshold=thresholds,
        left=lefts,
        values=values,
        floor=np.zeros(targets.shape[1]),
    )


def _flatten(tree: Any, sums: FloatArray, counts: FloatArray, start: int) -> tuple[NDArray[Any], ...]:
    """Return a tree's columns, thresholds, left children and values; siblings side by side, nodes from ``start`` on."""
    order, lefts = [0], list[int]()
    for node in order:  # grows as it is read: breadth first
        leaf = tree.children_left[node] < 0
        lefts.append(len(lefts) if leaf else len(order))
        if not leaf:
            child = tree.children_left[node], tree.children_right[node]
            order += child
            for one in child:  # a node that knows nothing of a target says what its parent says
                unknown = counts[one] == 0
                sums[one, unknown], counts[one, unknown] = sums[node, unknown], counts[node, unknown]
    inner = tree.children_left[order] >= 0
    thresholds = np.where(inner, _below(tree.threshold[order]), np.finfo(np.float32).max).astype(np.float32)
    values = sums[order] / np.maximum(counts[order], 1)
    columns = np.where(inner, tree.feature[order], 0).astype(np.int32)
    return columns, thresholds, (np.array(lefts) + start).astype(np.int32), quantise(values)


def _below(thresholds: FloatArray) -> FloatArray:
    """Return the largest float32 numbers up to these: inputs are float32, so nothing lies between."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float64)


def likeliest(inputs: FloatArray, targets: FloatArray, seed: int) -> tuple[FloatArray, float, float]:
    """Return the length scales, the amplitude and the noise of the process that makes targets likeliest.

    Args:
        inputs: standardised, shape (n, inputs).
        targets: standardised, shape (n,); NaN where there is none.
        seed: which rows to use, if there are many.

    Returns:
        Length scales, shape (inputs,), and two variances.
    """
    known = np.flatnonzero(~np.isnan(targets))
    known = np.sort(np.random.default_rng(seed).permutation(known)[:_MOST_ROWS])
    columns = inputs.shape[1]
    noise = WhiteKernel(0.1, (1e-3, 2.0))
    kernel = ConstantKernel(1.0, (1e-3, 20.0)) * Matern([3.0] * columns, (0.2, 100.0), nu=1.5) + noise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at its bound: the input doesn't matter
        fitted = GaussianProcessRegressor(kernel, optimizer=_search).fit(inputs[known], targets[known]).kernel_
    amplitude, correlation = fitted.k1.k1, fitted.k1.k2
    return np.broadcast_to(correlation.length_scale, columns), amplitude.constant_value, fitted.k2.noise_level


def _search(objective: Callable[..., Any], start: FloatArray, bounds: FloatArray) -> tuple[FloatArray, float]:
    """Search for the likeliest kernel; see scikit-learn's ``optimizer``.

    From few runs, many length scales fit as well. So they are log-normal beforehand: most inputs matter little.
    """

    def penalised(logarithms: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = objective(logarithms)
        off = (logarithms[1:-1] - _USUAL) / _SPREAD  # without amplitude and noise
        gradient = np.array(gradient)
        gradient[1:-1] += off / _SPREAD
        return value + 0.5 * float(np.square(off).sum()), gradient

    found = minimize(penalised, start, method="L-BFGS-B", jac=True, bounds=bounds)
    return found.x, found.fun

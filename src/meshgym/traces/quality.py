"""How good a trace set is: balance, noise between repeats, the effect of each rule, traces of the order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import MissingDependencyError
from meshgym.fields import settings_among
from meshgym.traces.outcomes import FIRST, outcomes_in

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
Groups = NDArray[np.integer[Any]]

#: P503 up to the first is "nearly none", from the second on "nearly all".
ENDS = (0.1, 0.9)
_FOLDS, _SHUFFLES = 5, 5


def group_by_setting(settings: FloatArray) -> NDArray[np.int64]:
    """Assign a number to each distinct setting.

    Args:
        settings: shape (n, columns).

    Returns:
        The number of each row's setting, shape (n,), whole numbers from 0.
    """
    groups: NDArray[np.int64] = np.unique(settings, axis=0, return_inverse=True)[1].ravel()
    return groups


def pure_error(values: FloatArray, group: Groups) -> Any:
    """Return the variance of runs around the mean of their setting: what no model of the setting can explain.

    Args:
        values: shape (n,) or (n, outputs); NaN where there is none.
        group: which setting each value belongs to, shape (n,), whole numbers from 0.

    Returns:
        A float, or shape (outputs,), in the squared unit of the values; NaN if nothing is repeated.
    """
    if values.ndim > 1:
        return np.array([pure_error(column, group) for column in values.T])
    known = ~np.isnan(values)
    values, group = values[known], np.unique(group[known], return_inverse=True)[1]
    counts = np.bincount(group)
    freedom = len(values) - len(counts)
    if not freedom:
        return math.nan
    means = np.bincount(group, values) / counts
    return float(np.square(values - means[group]).sum() / freedom)


@dataclass(frozen=True)
class Quality:
    """What :func:`assess` found.

    Attributes:
        rows: runs in the set.
        repeats: runs that repeat the setting of another one.
        mean_p503: mean share of 503s.
        low_end, high_end: shares of runs with P503 up to 0.1, and from 0.9 on.
        noise: by output, variance between runs of one setting over the variance of all; NaN without repeats.
        lane_noise: the same, only from pairs of runs in different lanes.
        autocorrelation: by output, of neighbouring rows (lag 1).
        effects: by output and setting that varies, how much of the held-out variance a model no longer explains if
            the setting's values are shuffled (permutation importance), mean over folds.
        explained: by output, held-out share of the variance that the model explains.
        residual_autocorrelation: by output, of the model's residuals of neighbouring rows (lag 1). It is more
            sensitive, because the effects of the settings are removed. It shows the pace of a shared machine.
    """

    rows: int
    repeats: int
    mean_p503: float
    low_end: float
    high_end: float
    noise: dict[str, float]
    lane_noise: dict[str, float]
    autocorrelation: dict[str, float]
    effects: dict[str, dict[str, float]]
    explained: dict[str, float]
    residual_autocorrelation: dict[str, float]

    def __str__(self) -> str:
        shares = {
            "noise": self.noise,
            "across lanes": self.lane_noise,
            "autocorr.": self.autocorrelation,
            "of residuals": self.residual_autocorrelation,
            "explained": self.explained,
        }
        lines = [
            f"  {'rows':<20}{self.rows}, {self.repeats} of them repeats",
            f"  {'mean P503':<20}{self.mean_p503:.3f}",
            f"  {'P503 <= 0.1, >= 0.9':<20}{self.low_end:.3f}, {self.high_end:.3f}",
            f"  {'':<18}" + "".join(f"{name:>14}" for name in shares),
        ]
        lines += [
            f"  {output:<18}" + "".join(f"{values[output]:14.3f}" for values in shares.values())
            for output in self.noise
        ]
        lines += [f"  {'effects of':<28}" + "".join(f"{output:>18}" for output in self.effects)]
        lines += [
            f"  {name:<28}" + "".join(f"{effects[name]:18.3f}" for effects in self.effects.values())
            for name in next(iter(self.effects.values()))
        ]
        return "\n".join(lines)


class Explanation(NamedTuple):
    """How well a model explains values, on folds that share no setting.

    Attributes:
        effects: by setting that varies, how much of the held-out variance is no longer explained if its values are
            shuffled.
        share: share of the held-out variance that is explained. Like an effect, it is negative if there is nothing
            to find.
        residuals: values minus predictions, shape (n,).
    """

    effects: dict[str, float]
    share: float
    residuals: FloatArray


def assess(frame: pd.DataFrame, seed: int = 0) -> Quality:
    """Assess a trace set.

    Args:
        frame: what ``load_traces`` returned, in the order of collection.
        seed: seed of folds, model and shuffles.

    Raises:
        MissingDependencyError: scikit-learn isn't installed.
    """
    names = settings_among(frame)
    settings = frame[list(names)].to_numpy(np.float64)
    group = group_by_setting(settings)
    lane = frame["lane"].to_numpy() if "lane" in frame else np.zeros(len(frame))
    outcomes = outcomes_in(frame)
    known = {name: np.flatnonzero(~np.isnan(values)) for name, values in outcomes.items()}
    known = {name: rows for name, rows in known.items() if name in FIRST or _varies(outcomes[name][rows], group[rows])}
    own = {name: (outcomes[name][rows], group[rows]) for name, rows in known.items()}
    found = {name: explain(settings[rows], *own[name], seed, names) for name, rows in known.items()}
    p503 = outcomes["p503"]
    return Quality(
        rows=len(frame),
        repeats=len(frame) - len(np.unique(group)),
        mean_p503=float(p503.mean()),
        low_end=float((p503 <= ENDS[0]).mean()),
        high_end=float((p503 >= ENDS[1]).mean()),
        noise={name: noise_share(*both) for name, both in own.items()},
        lane_noise={name: _lane_noise_share(*own[name], lane[rows]) for name, rows in known.items()},
        autocorrelation={name: _autocorrelation(values) for name, (values, _) in own.items()},
        effects={name: explanation.effects for name, explanation in found.items()},
        explained={name: explanation.share for name, explanation in found.items()},
        residual_autocorrelation={name: _autocorrelation(explanation.residuals) for name, explanation in found.items()},
    )


def _varies(values: FloatArray, group: Groups) -> bool:
    """Return whether there is something to explain, in enough settings to leave some out."""
    return len(np.unique(values)) > 1 and len(np.unique(group)) >= 2 * _FOLDS


def noise_share(values: FloatArray, group: Groups) -> float:
    """Return the pure error over the variance of all values; NaN if nothing is repeated or nothing varies.

    Args:
        values, group: see :func:`pure_error`; shape (n,).
    """
    return float(pure_error(values, group) / values.var()) if values.var() else float("nan")


def _lane_noise_share(values: FloatArray, group: Groups, lane: NDArray[Any]) -> float:
    order = np.argsort(group, kind="stable")
    first, second = order[:-1], order[1:]
    pairs = (group[first] == group[second]) & (lane[first] != lane[second])
    if not pairs.any() or values.var() == 0:
        return float("nan")
    gaps = values[first[pairs]] - values[second[pairs]]
    return float(np.square(gaps).mean() / 2 / values.var())


def _autocorrelation(values: FloatArray) -> float:
    if len(values) < 3 or values.var() == 0:
        return float("nan")
    centred = values - values.mean()
    return float((centred[:-1] * centred[1:]).mean() / values.var())


def explain(settings: FloatArray, values: FloatArray, group: Groups, seed: int, names: Sequence[str]) -> Explanation:
    """Fit gradient-boosted trees to values, then shuffle one field of the settings after another.

    Args:
        settings: shape (n, columns).
        values: what to explain, shape (n,).
        group: which setting each row is, shape (n,); at least five distinct ones.
        seed: seed of folds, model and shuffles.
        names: columns of the settings.

    Raises:
        MissingDependencyError: scikit-learn isn't installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.inspection import permutation_importance
        from sklearn.metrics import r2_score
        from sklearn.model_selection import GroupKFold
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise MissingDependencyError("scikit-learn", "the effect of each rule", "simulator") from None
    varying = np.flatnonzero(np.ptp(settings, axis=0) > 0)
    inputs = settings[:, varying]
    importances, explained, residuals = [], [], np.empty(len(values))
    with threadpool_limits(1):  # in thousands of small predictions, threads would mostly wait
        for train, test in GroupKFold(_FOLDS, shuffle=True, random_state=seed).split(inputs, groups=group):
            model = HistGradientBoostingRegressor(random_state=seed).fit(inputs[train], values[train])
            predicted = model.predict(inputs[test])
            explained.append(r2_score(values[test], predicted))
            residuals[test] = values[test] - predicted
            shuffled = permutation_importance(model, inputs[test], values[test], n_repeats=_SHUFFLES, random_state=seed)
            importances.append(shuffled.importances_mean)
    means = np.mean(importances, axis=0)
    effects = {names[int(column)]: float(value) for column, value in zip(varying, means, strict=True)}
    return Explanation(effects, float(np.mean(explained)), residuals)

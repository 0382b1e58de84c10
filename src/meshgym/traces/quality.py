"""How good a trace set is: balance, noise between repeats, what each rule does, traces of the order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import MissingDependencyError
from meshgym.types import SETTING_NAMES

if TYPE_CHECKING:
    import pandas as pd

#: The two measurements a simulator learns.
OUTPUTS: tuple[str, ...] = ("qps", "p503")
#: P503 up to the first is "nearly none", from the second on "nearly all".
ENDS = (0.1, 0.9)
_FOLDS, _SHUFFLES = 5, 5


@dataclass(frozen=True)
class Quality:
    """What :func:`assess` found.

    Attributes:
        rows: runs in the set.
        repeats: runs that repeat an earlier one's setting.
        mean_p503: mean share of 503s.
        low_end, high_end: shares of runs with P503 up to 0.1, and from 0.9 on.
        noise: by output, variance between runs of one setting over the variance of all; NaN without repeats.
        lane_noise: the same from pairs of runs made in different lanes only.
        autocorrelation: by output, of neighbouring rows (lag 1).
        effects: by output and setting that varies, how much of the held-out variance a model no longer
            explains when the setting's values are shuffled (permutation importance), mean over folds.
        explained: by output, held-out share of the variance that model explains.
        residual_autocorrelation: by output, of what that model leaves of neighbouring rows (lag 1). More
            sensitive: what the settings do is taken off. The pace of a shared machine shows here.
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
        def line(name: str, values: dict[str, float]) -> str:
            return f"  {name:<28}" + "  ".join(f"{key} {value:.3f}" for key, value in values.items())

        lines = [
            f"  {'rows':<28}{self.rows}, {self.repeats} of them repeats",
            f"  {'mean P503':<28}{self.mean_p503:.3f}",
            f"  {'P503 <= 0.1, >= 0.9':<28}{self.low_end:.3f}, {self.high_end:.3f}",
            line("noise share", self.noise),
            line("noise share across lanes", self.lane_noise),
            line("autocorrelation", self.autocorrelation),
            line("residual autocorrelation", self.residual_autocorrelation),
            line("explained, held out", self.explained),
        ]
        lines += [line(f"effects on {output}", effects) for output, effects in self.effects.items()]
        return "\n".join(lines)


class Explanation(NamedTuple):
    """What a model makes of a measurement on folds that share no setting.

    Attributes:
        effects: by each setting that varies, how much of the held-out variance is no longer explained when its
            values are shuffled.
        share: of the held-out variance that is explained. Like an effect, negative where there is nothing to find.
        left: values less predictions, shape (n,).
    """

    effects: dict[str, float]
    share: float
    left: NDArray[np.float64]


def assess(frame: pd.DataFrame, seed: int = 0) -> Quality:
    """Assess a trace set.

    Args:
        frame: what ``load_traces`` returned, in collection order.
        seed: of folds, model and shuffles.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    settings = frame[list(SETTING_NAMES)].to_numpy(np.float64)
    _, group = np.unique(settings, axis=0, return_inverse=True)
    group = group.ravel()
    lane = frame["lane"].to_numpy() if "lane" in frame else np.zeros(len(frame))
    outputs = {name: frame[name].to_numpy(np.float64) for name in OUTPUTS}
    found = {name: explain(settings, values, group, seed) for name, values in outputs.items()}
    p503 = outputs["p503"]
    return Quality(
        rows=len(frame),
        repeats=len(frame) - len(np.unique(group)),
        mean_p503=float(p503.mean()),
        low_end=float((p503 <= ENDS[0]).mean()),
        high_end=float((p503 >= ENDS[1]).mean()),
        noise={name: noise_share(values, group) for name, values in outputs.items()},
        lane_noise={name: _lane_noise_share(values, group, lane) for name, values in outputs.items()},
        autocorrelation={name: _autocorrelation(values) for name, values in outputs.items()},
        effects={name: explanation.effects for name, explanation in found.items()},
        explained={name: explanation.share for name, explanation in found.items()},
        residual_autocorrelation={name: _autocorrelation(explanation.left) for name, explanation in found.items()},
    )


def pure_error(values: NDArray[np.float64], group: NDArray[Any]) -> float:
    """Return the variance within groups of equal settings; NaN if nothing is repeated.

    Args:
        values: shape (n,).
        group: which setting each value belongs to, shape (n,), whole numbers from 0.
    """
    counts = np.bincount(group)
    freedom = len(values) - len(counts)
    if not freedom:
        return math.nan
    means = np.bincount(group, values) / counts
    return float(np.square(values - means[group]).sum() / freedom)


def noise_share(values: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    """Return :func:`pure_error` over the variance of all values; NaN if either can't be told."""
    return pure_error(values, group) / values.var() if values.var() else math.nan


def _lane_noise_share(values: NDArray[np.float64], group: NDArray[np.int64], lane: NDArray[Any]) -> float:
    order = np.argsort(group, kind="stable")
    first, second = order[:-1], order[1:]
    pairs = (group[first] == group[second]) & (lane[first] != lane[second])
    if not pairs.any() or values.var() == 0:
        return float("nan")
    gaps = values[first[pairs]] - values[second[pairs]]
    return float(np.square(gaps).mean() / 2 / values.var())


def _autocorrelation(values: NDArray[np.float64]) -> float:
    if len(values) < 3 or values.var() == 0:
        return float("nan")
    centred = values - values.mean()
    return float((centred[:-1] * centred[1:]).mean() / values.var())


def explain(
    settings: NDArray[np.float64], values: NDArray[np.float64], group: NDArray[np.int64], seed: int
) -> Explanation:
    """Fit gradient-boosted trees to a measurement and shuffle one setting after the other (permutation importance).

    Args:
        settings: shape (n, 9), columns ``SETTING_NAMES``.
        values: what is to be explained, shape (n,).
        group: which setting each row is, shape (n,); at least five different ones.
        seed: of folds, model and shuffles.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
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
    importances, explained, left = [], [], np.empty(len(values))
    with threadpool_limits(1):  # thousands of small predictions: threads would mostly wait for each other
        for train, test in GroupKFold(_FOLDS, shuffle=True, random_state=seed).split(inputs, groups=group):
            model = HistGradientBoostingRegressor(random_state=seed).fit(inputs[train], values[train])
            predicted = model.predict(inputs[test])
            explained.append(r2_score(values[test], predicted))
            left[test] = values[test] - predicted
            shuffled = permutation_importance(model, inputs[test], values[test], n_repeats=_SHUFFLES, random_state=seed)
            importances.append(shuffled.importances_mean)
    means = np.mean(importances, axis=0)
    effects = {SETTING_NAMES[column]: float(value) for column, value in zip(varying, means, strict=True)}
    return Explanation(effects, float(np.mean(explained)), left)

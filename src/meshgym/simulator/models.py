"""The models of Table 4 behind one interface, scikit-learn's: ``fit(settings, targets)``, ``predict(settings)``.

Settings have shape (n, columns), targets and predictions (n, 2): qps in 1/s and p503 as a share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import MissingDependencyError
from meshgym.simulator.features import Features
from meshgym.simulator.perceptron import PAPER, PerceptronEnsemble

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR
except ImportError as error:
    raise MissingDependencyError("scikit-learn", "comparing models", "simulator") from error

FloatArray = NDArray[np.float64]


class FractionalLogit(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression of fractions (Papke and Wooldridge, 1996).

    Each output is scaled to 0..1 by its smallest and largest value in the training part. A fraction y counts as a
    success of weight y and a failure of weight 1 - y: this maximises the logistic likelihood over fractions. The
    predicted probability is the predicted fraction.
    """

    def fit(self, settings: FloatArray, targets: FloatArray) -> Self:
        self.low_ = targets.min(axis=0)
        self.range_ = np.where(np.ptp(targets, axis=0) > 0, np.ptp(targets, axis=0), 1.0)
        twice = np.vstack([settings, settings])
        success = np.repeat([1, 0], len(settings))
        self.models_ = [
            LogisticRegression(max_iter=1000).fit(twice, success, sample_weight=np.concatenate([share, 1 - share]))
            for share in ((targets - self.low_) / self.range_).T
        ]
        return self

    def predict(self, settings: FloatArray) -> FloatArray:
        shares = np.column_stack([model.predict_proba(settings)[:, 1] for model in self.models_])
        predicted: FloatArray = shares * self.range_ + self.low_
        return predicted


def _standardised(regressor: Any) -> Any:
    """Scale inputs and targets to mean 0 and variance 1."""
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), regressor), transformer=StandardScaler())


#: The models that the simulator's own ensemble is compared with, each made from a seed and the features of settings,
#: with scikit-learn's defaults.
RIVALS: dict[str, Callable[[int, Features], Any]] = {
    "MLP, paper's preset": lambda seed, features: PerceptronEnsemble(PAPER, seed, features=features),
    "gradient-boosted trees": lambda seed, _: _standardised(
        MultiOutputRegressor(HistGradientBoostingRegressor(random_state=seed))
    ),
    "support vectors": lambda *_: _standardised(MultiOutputRegressor(SVR())),
    "logistic": lambda *_: make_pipeline(StandardScaler(), FractionalLogit()),
    "ridge": lambda *_: _standardised(Ridge()),
    "mean": lambda *_: DummyRegressor(),
}

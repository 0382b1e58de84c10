"""The inputs of a simulator: the numbers of a setting, and what queueing theory derives from them.

They combine only rules and load; they know nothing about a service.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.fields import RULES
from meshgym.rules.policy import traffic_rules
from meshgym.scenarios import Scenario
from meshgym.types import SETTING_NAMES

FloatArray = NDArray[np.float64]


def _in_service(threads: FloatArray, connections: FloatArray) -> FloatArray:
    return np.minimum(threads, connections)


#: What is derived, from the fields it needs; where one neither varies nor has a fixed value, it is left out.
_DERIVED: dict[str, tuple[tuple[str, ...], Callable[..., FloatArray]]] = {
    "threads_per_connection": (("threads", "max_connections"), np.divide),
    # threads that find no room in a connection or in the queue
    "threads_over_limits": (
        ("threads", "max_connections", "http1_max_pending_requests"),
        lambda threads, connections, pending: threads - connections - pending,
    ),
    "calls_per_thread": (("calls", "threads"), np.divide),
    # how much longer the first thread is at work, which sends the calls that don't divide
    "overtime": (("calls", "threads"), lambda calls, threads: calls % threads * threads / calls),
    "rate_per_connection": (("rate_per_s", "max_connections"), np.divide),
    "duration": (("calls", "rate_per_s"), np.divide),
    "calls_per_connection": (("calls", "max_connections"), np.divide),
    # connections opened during the run
    "reconnects": (("calls", "max_requests_per_connection"), np.divide),
    "errors_to_eject_share": (
        ("consecutive_5xx_errors", "max_ejection_percent", "calls"),
        lambda errors, percent, calls: errors * percent / calls,
    ),
    "calls_in_service": (("threads", "max_connections"), _in_service),
    # whether a burst of all of them can eject a replica
    "calls_in_service_over_errors": (
        ("threads", "max_connections", "consecutive_5xx_errors"),
        lambda threads, connections, errors: _in_service(threads, connections) - errors,
    ),
}


class Features:
    """Which features settings have.

    Args:
        settings: the columns of settings.
        fixed: values of rules that don't vary.

    Attributes:
        predictions: how many of the columns, from the last, are themselves predictions of the first targets.
        settings, fixed: as given.
        names: of the columns that :meth:`derive` returns: those of the settings, then the derived ones.
    """

    predictions = 0

    def __init__(self, settings: tuple[str, ...] = SETTING_NAMES, fixed: Mapping[str, float] | None = None) -> None:
        self.settings, self.fixed = settings, dict(fixed or {})
        known = {*settings, *self.fixed}
        self._derived = tuple(name for name, (needed, _) in _DERIVED.items() if known.issuperset(needed))
        self.names = (*settings, *self._derived)

    @classmethod
    def of(cls, scenario: Scenario) -> Features:
        """Return the features of a scenario's settings; its base fixes the rules that don't vary."""
        needed = {name for names, _ in _DERIVED.values() for name in names} & RULES.keys() - set(scenario.rules)
        return cls(scenario.setting_names, traffic_rules(scenario.base, needed).to_dict())

    def derive(self, settings: Any) -> FloatArray:
        """Return the features of settings.

        Args:
            settings: shape (n, columns).

        Returns:
            Shape (n, features), columns as :attr:`names`.
        """
        settings = np.asarray(settings, dtype=np.float64)
        columns = {**self.fixed, **dict(zip(self.settings, settings.T, strict=True))}
        rows = (_DERIVED[name] for name in self._derived)
        derived = (function(*(columns[name] for name in needed)) for needed, function in rows)
        return np.column_stack([settings, *derived])


def place_knots(features: FloatArray, bins: int) -> FloatArray:
    """Return intervals between quantiles of each feature, for :func:`encode`.

    Args:
        features: of :meth:`Features.derive`, shape (n, features).
        bins: the most intervals of one feature; a constant feature gets none.

    Returns:
        Shape (k, 3): column of the feature, start and end of the interval.
    """
    knots: list[tuple[float, float, float]] = []
    for column, values in enumerate(features.T):
        levels = np.unique(values)
        if len(levels) > bins + 1:
            levels = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
        knots += [(column, low, high) for low, high in itertools.pairwise(levels)]
    return np.array(knots, dtype=np.float64).reshape(-1, 3)


def encode(features: FloatArray, knots: FloatArray) -> FloatArray:
    """Return how far each feature is through each interval, 0..1 (piecewise linear encoding, arXiv:2203.05556).

    With these inputs a network can bend at every level of a rule; from the plain number it would have to learn that.

    Args:
        features: of :meth:`Features.derive`, shape (n, features).
        knots: of :func:`place_knots`, shape (k, 3).

    Returns:
        Shape (n, k).
    """
    column, low, high = knots.T
    share: FloatArray = np.clip((features[:, column.astype(int)] - low) / (high - low), 0, 1)
    return share

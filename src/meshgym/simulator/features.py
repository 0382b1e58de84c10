"""The inputs of a simulator: the nine numbers of a setting, and what queueing theory derives from them.

They combine only rules and load; they know nothing about a service.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.types import SETTING_NAMES

FloatArray = NDArray[np.float64]

#: The derived features: :func:`derive`'s columns after the nine of a setting.
DERIVED_NAMES: tuple[str, ...] = (
    "threads_per_connection",
    "threads_over_limits",
    "calls_per_thread",
    "calls_per_connection",
    "reconnects",
    "errors_to_eject_share",
    "calls_in_service",
    "calls_in_service_over_errors",
)
FEATURE_NAMES: tuple[str, ...] = SETTING_NAMES + DERIVED_NAMES


def derive(settings: Any) -> FloatArray:
    """Return the features of settings.

    Args:
        settings: shape (n, 9), columns as ``SETTING_NAMES``.

    Returns:
        Shape (n, 17), columns as :data:`FEATURE_NAMES`.
    """
    settings = np.asarray(settings, dtype=np.float64)
    pending, connections, per_connection, _, percent, _, errors, threads, calls = settings.T
    in_service = np.minimum(threads, connections)
    derived = (
        threads / connections,
        threads - connections - pending,  # threads that find no room in a connection or in the queue
        calls / threads,
        calls / connections,
        calls / per_connection,  # connections opened during the run
        errors * percent / calls,
        in_service,
        in_service - errors,  # whether a burst of all of them can eject a replica
    )
    return np.column_stack([settings, *derived])


def place_knots(features: FloatArray, bins: int) -> FloatArray:
    """Return intervals between quantiles of each feature, for :func:`encode`.

    Args:
        features: of :func:`derive`, shape (n, 17).
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
        features: of :func:`derive`, shape (n, 17).
        knots: of :func:`place_knots`, shape (k, 3).

    Returns:
        Shape (n, k).
    """
    column, low, high = knots.T
    share: FloatArray = np.clip((features[:, column.astype(int)] - low) / (high - low), 0, 1)
    return share

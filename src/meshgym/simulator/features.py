"""What a simulator reads off a setting: the nine numbers, and what queueing says they act through.

Nothing here knows a service: only the rules and the load themselves are combined.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.types import SETTING_NAMES

FloatArray = NDArray[np.float64]

#: The derived features, in the order of :func:`derive`'s columns behind the nine settings.
DERIVED_NAMES: tuple[str, ...] = (
    "threads_per_connection",
    "threads_over_limits",
    "calls_per_thread",
    "calls_per_connection",
    "reconnects",
    "errors_to_eject_share",
)
FEATURE_NAMES: tuple[str, ...] = SETTING_NAMES + DERIVED_NAMES


def derive(settings: Any) -> FloatArray:
    """Features of settings.

    Args:
        settings: shape (n, 9), columns as ``SETTING_NAMES``.

    Returns:
        Shape (n, 15), columns as :data:`FEATURE_NAMES`.
    """
    settings = np.asarray(settings, dtype=np.float64)
    pending, connections, per_connection, _, percent, _, errors, threads, calls = settings.T
    derived = (
        threads / connections,
        threads - connections - pending,  # callers that neither a connection nor the queue holds
        calls / threads,
        calls / connections,
        calls / per_connection,  # connections opened over the run
        errors * percent / calls,
    )
    return np.column_stack([settings, *derived])

"""The vocabulary of everything else: traffic rules, a load, and the response to both.

The ranges are those of the tables in :mod:`meshgym.fields`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError
from meshgym.fields import LOADS, OUTCOMES, RULES

#: ``progress(done, total)``, called as work goes on.
Progress = Callable[[int, int], None]

RULE_NAMES: tuple[str, ...] = tuple(RULES)
LOAD_NAMES: tuple[str, ...] = tuple(LOADS)
#: Columns of a settings matrix, shape (n, 9): the simulator's input (paper, Fig. 3).
SETTING_NAMES: tuple[str, ...] = RULE_NAMES + LOAD_NAMES
RESPONSE_NAMES: tuple[str, ...] = tuple(OUTCOMES)


@dataclass(frozen=True, slots=True)
class TrafficRules:
    """Seven fields of Istio's DestinationRule ``trafficPolicy`` (paper, Table 1).

    Attributes:
        http1_max_pending_requests: requests that may wait for a connection, 1..2147483647
            (``connectionPool.http.http1MaxPendingRequests``).
        max_connections: connections to the service, 1..2147483647 (``connectionPool.tcp.maxConnections``).
        max_requests_per_connection: requests before a connection is closed, 1..2147483647
            (``connectionPool.http.maxRequestsPerConnection``).
        base_ejection_time_s: how long the first ejection of a replica lasts, at least 0.001 s
            (``outlierDetection.baseEjectionTime``).
        max_ejection_percent: share of the replicas that may be ejected, 1..100 %
            (``outlierDetection.maxEjectionPercent``).
        interval_s: time between two sweeps of the outlier detector, at least 0.001 s
            (``outlierDetection.interval``).
        consecutive_5xx_errors: 5xx responses in a row that eject a replica, 0 (never)..2147483647
            (``outlierDetection.consecutive5xxErrors``).

    Zero isn't allowed where istiod reads it as "not set".

    Raises:
        InvalidValueError: a field outside its range.
    """

    http1_max_pending_requests: int
    max_connections: int
    max_requests_per_connection: int
    base_ejection_time_s: float
    max_ejection_percent: int
    interval_s: float
    consecutive_5xx_errors: int

    def __post_init__(self) -> None:
        for name, field in RULES.items():
            object.__setattr__(self, name, field.check(getattr(self, name)))

    def to_dict(self) -> dict[str, float]:
        """Return field names and values, in the order of :data:`RULE_NAMES`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Load:
    """A closed-loop load test, as Fortio's ``-c`` and ``-n``.

    Attributes:
        threads: connections that send one request after the other, 1..4096.
        calls: requests in total, at least ``2 * threads`` (below that Fortio's loop overshoots).

    Raises:
        InvalidValueError: a field outside its range.
    """

    threads: int
    calls: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "threads", LOADS["threads"].check(self.threads))
        object.__setattr__(self, "calls", LOADS["calls"].check(self.calls, low=2 * self.threads))

    def to_dict(self) -> dict[str, int]:
        """Return field names and values, in the order of :data:`LOAD_NAMES`."""
        return asdict(self)


class _Response(NamedTuple):
    qps: Any
    p200: Any
    p503: Any
    qps_std: Any = math.nan
    p503_std: Any = math.nan
    outside: Any = False
    details: Mapping[str, float] | None = None


class Response(_Response):
    """What a mesh returned, or is expected to return, for one setting or for many.

    Every attribute but ``details`` is a float for one setting, an array of shape (n,) for n settings.
    ``Response._make(values)`` skips the checks.

    Attributes:
        qps: requests per second, those with a 503 included (Fortio's ActualQPS), 0 and above.
        p200: share of requests that returned 200, 0..1.
        p503: share of requests that returned 503, 0..1.
        qps_std: standard deviation of single runs around ``qps``, in 1/s; NaN where nobody predicts it.
        p503_std: the same around ``p503``, as a share.
        outside: whether a simulator had to extrapolate, because its traces don't cover the setting.
        details: what else a real mesh counted in a run, by trace column name (see
            :data:`meshgym.traces.schema.COLUMNS`); None for a simulator.

    Raises:
        InvalidValueError: a value of ``qps``, ``p200`` or ``p503`` outside its range, or NaN.
    """

    __slots__ = ()

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Check the values; arguments as the attributes, in their order."""
        response = super().__new__(cls, *values, **named)
        for field, value in zip(OUTCOMES.values(), response, strict=False):
            field.check_many(value)
        return response

    def to_dict(self) -> dict[str, float]:
        """Return outcomes and details as one flat dictionary: the right half of a trace row."""
        return {**dict(zip(RESPONSE_NAMES, self, strict=False)), **(self.details or {})}


@dataclass(frozen=True, slots=True)
class Setting:
    """Rules and load together."""

    rules: TrafficRules
    load: Load

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Make a setting from nine numbers in the order of :data:`SETTING_NAMES`."""
        values = [float(value) for value in row]
        split = len(RULE_NAMES)
        return cls(TrafficRules(*values[:split]), Load(*values[split:]))  # type: ignore[arg-type]

    def to_row(self) -> list[float]:
        """Return nine numbers in the order of :data:`SETTING_NAMES`."""
        return [float(v) for v in (*self.rules.to_dict().values(), *self.load.to_dict().values())]


def check_settings(settings: Any) -> NDArray[np.float64]:
    """Return a matrix of settings as float64, shape (n, 9), columns as :data:`SETTING_NAMES`.

    Raises:
        InvalidValueError: another shape, or a number that isn't finite.
    """
    matrix: NDArray[np.float64] = np.asarray(settings, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != len(SETTING_NAMES):
        raise InvalidValueError("shape of settings", matrix.shape, f"(n, 9): {', '.join(SETTING_NAMES)}")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise InvalidValueError(f"row {row} of settings", matrix[row].tolist(), "finite numbers")
    return matrix

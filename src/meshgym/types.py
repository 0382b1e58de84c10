"""The three things everything else speaks of: traffic rules, a load, and the response to both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from meshgym.errors import InvalidValueError

#: ``progress(done, total)``, called as work goes on.
Progress = Callable[[int, int], None]

#: Istio's fields are int32.
INT32_MAX = 2**31 - 1


def _whole(name: str, value: object, low: int, high: int = INT32_MAX) -> int:
    """``value`` as an int; accepts what equals a whole number (NumPy's too)."""
    try:
        whole = int(value)  # type: ignore[call-overload]
        if whole == value and low <= whole <= high and not isinstance(value, bool):
            return int(whole)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidValueError(name, value, f"a whole number {low}..{high}")


def _seconds(name: str, value: object) -> float:
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = math.nan
    if isinstance(value, bool) or not (0.001 <= seconds < math.inf):
        raise InvalidValueError(name, value, "seconds, at least 0.001 (Istio's shortest duration)")
    return seconds


@dataclass(frozen=True, slots=True)
class TrafficRules:
    """Seven fields of Istio's DestinationRule ``trafficPolicy`` (paper, Table 1).

    Attributes:
        http1_max_pending_requests: requests that may wait for a connection, 1..2147483647
            (``connectionPool.http.http1MaxPendingRequests``).
        max_connections: connections to the service, 1..2147483647 (``connectionPool.tcp.maxConnections``).
        max_requests_per_connection: requests before a connection is closed, 1..2147483647
            (``connectionPool.http.maxRequestsPerConnection``).
        base_ejection_time_s: seconds the first ejection of a replica lasts, at least 0.001
            (``outlierDetection.baseEjectionTime``).
        max_ejection_percent: share of replicas that may be ejected, 1..100 %
            (``outlierDetection.maxEjectionPercent``).
        interval_s: seconds between two sweeps of the outlier detector, at least 0.001
            (``outlierDetection.interval``).
        consecutive_5xx_errors: 5xx answers in a row that eject a replica, 0 (never)..2147483647
            (``outlierDetection.consecutive5xxErrors``).

    Zero is refused where istiod reads it as "not set".

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
        put = object.__setattr__
        for name in ("http1_max_pending_requests", "max_connections", "max_requests_per_connection"):
            put(self, name, _whole(name, getattr(self, name), 1))
        for name in ("base_ejection_time_s", "interval_s"):
            put(self, name, _seconds(name, getattr(self, name)))
        put(self, "max_ejection_percent", _whole("max_ejection_percent", self.max_ejection_percent, 1, 100))
        errors = _whole("consecutive_5xx_errors", self.consecutive_5xx_errors, 0)
        put(self, "consecutive_5xx_errors", errors)

    def to_dict(self) -> dict[str, float]:
        """Field names and values, in the order of :data:`RULE_NAMES`."""
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
        object.__setattr__(self, "threads", _whole("threads", self.threads, 1, 4096))
        object.__setattr__(self, "calls", _whole("calls", self.calls, 2 * self.threads))

    def to_dict(self) -> dict[str, int]:
        """Field names and values, in the order of :data:`LOAD_NAMES`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Response:
    """What a mesh answered to a load under given rules.

    Attributes:
        qps: answers a second, those with a 503 included (Fortio's ActualQPS), 0 and above.
        p200: share of calls answered 200, 0..1.
        p503: share of calls answered 503, 0..1.
        details: what else a real mesh counted, by trace column name (see
            :data:`meshgym.traces.schema.COLUMNS`); empty for a simulator.

    Raises:
        InvalidValueError: a value outside its range, or NaN.
    """

    qps: float
    p200: float
    p503: float
    details: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.qps < math.inf:
            raise InvalidValueError("qps", self.qps, "a finite number, 0 and above")
        for name in ("p200", "p503"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidValueError(name, getattr(self, name), "a share 0..1")

    def to_dict(self) -> dict[str, float]:
        """The measurements and the details as one flat dictionary: a trace row's right half."""
        return {"qps": self.qps, "p200": self.p200, "p503": self.p503, **(self.details or {})}


RULE_NAMES: tuple[str, ...] = tuple(field.name for field in fields(TrafficRules))
LOAD_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Load))
#: Columns of a settings matrix, shape (n, 9): the simulator's input (paper, Fig. 3).
SETTING_NAMES: tuple[str, ...] = RULE_NAMES + LOAD_NAMES
RESPONSE_NAMES: tuple[str, ...] = ("qps", "p200", "p503")


@dataclass(frozen=True, slots=True)
class Setting:
    """Rules and load together: one question to a mesh."""

    rules: TrafficRules
    load: Load

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """From nine numbers in the order of :data:`SETTING_NAMES`."""
        values = [float(value) for value in row]
        split = len(RULE_NAMES)
        return cls(TrafficRules(*values[:split]), Load(*values[split:]))  # type: ignore[arg-type]

    def to_row(self) -> list[float]:
        """Nine numbers in the order of :data:`SETTING_NAMES`."""
        return [float(v) for v in (*self.rules.to_dict().values(), *self.load.to_dict().values())]

"""What can be varied, sent and measured, as data: one table per kind, one row per field.

Everything else derives from these tables: the checks of :mod:`meshgym.types`, the columns of trace sets, and the
translation of rules to a DestinationRule and to an Envoy cluster. Adding a field means adding a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from meshgym.errors import InvalidValueError

#: Istio's integer fields are int32.
INT32_MAX = 2**31 - 1

#: ``whole`` and ``percent`` are integers, the others finite floats; ``seconds`` is a duration of Istio.
Kind = Literal["whole", "percent", "seconds", "share", "number"]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that can be varied, sent or measured.

    Attributes:
        name: as written in code, in files and in the columns of traces.
        unit: what one of it is, e.g. ``"s"`` or ``"requests"``.
        kind: which numbers are allowed.
        low, high: the range, both ends included.
        doc: what it means, in one line.
        destination_rule: where it stands below ``spec.trafficPolicy`` of a DestinationRule, with dots between keys;
            empty if the field isn't a rule.
        envoy: where it stands in the Envoy cluster, with dots between keys (``circuit_breakers`` stands for its
            default threshold, ``common_http_protocol_options`` for those of the HTTP protocol options); empty if
            the field isn't a rule.
        absent: the value that counts if the DestinationRule leaves the field out, in the field's unit;
            2147483647 stands for "no limit".
        absent_section: the same if the DestinationRule leaves out the whole section (``connectionPool`` or
            ``outlierDetection``); None if that is no different.
        since: the first Istio release that has the field.
    """

    name: str
    unit: str
    kind: Kind
    low: float
    high: float
    doc: str
    destination_rule: str = ""
    envoy: str = ""
    absent: float | None = None
    absent_section: float | None = None
    since: str = ""

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are allowed."""
        return self.kind in ("whole", "percent")

    def check(self, value: object, low: float | None = None) -> Any:
        """Return ``value`` as an int or a float, according to the kind; NumPy's numbers are accepted too.

        Args:
            value: one number.
            low: the lowest value allowed, if it isn't the field's own.

        Raises:
            InvalidValueError: another kind of value, or one out of range.
        """
        low = self.low if low is None else low
        try:
            number: float = int(value) if self.whole else float(value)  # type: ignore[call-overload, arg-type]
            if low <= number <= self.high and (number == value or not self.whole) and not isinstance(value, bool):
                return number
        except (TypeError, ValueError, OverflowError):
            pass
        raise InvalidValueError(self.name, value, self.allowed(low))

    def check_many(self, values: Any) -> None:
        """Check a float or an array of any shape.

        Raises:
            InvalidValueError: a value out of range, or NaN.
        """
        numbers = np.asarray(values, dtype=np.float64)
        wrong = numbers[~((numbers >= self.low) & (numbers <= self.high))]
        if wrong.size:
            raise InvalidValueError(self.name, float(wrong.flat[0]), self.allowed(self.low))

    def allowed(self, low: float) -> str:
        """Describe the allowed values, for messages."""
        match self.kind:
            case "whole" | "percent":
                return f"a whole number {low:.0f}..{self.high:.0f}"
            case "share":
                return f"a share {low:g}..{self.high:g}"
            case "seconds":
                return f"seconds, at least {low:g} (Istio's shortest duration)"
        return f"a finite number, {low:g} and above"


_FINITE = math.nextafter(math.inf, 0)


def _table(*rows: Field) -> dict[str, Field]:
    return {row.name: row for row in rows}


# fmt: off
#: Fields of a DestinationRule that can be varied (paper, Table 1).
RULES: dict[str, Field] = _table(
    Field("http1_max_pending_requests", "requests", "whole", 1, INT32_MAX, "requests that may wait for a connection",
          "connectionPool.http.http1MaxPendingRequests", "circuit_breakers.max_pending_requests",
          absent=INT32_MAX, since="1.0"),
    Field("max_connections", "connections", "whole", 1, INT32_MAX, "connections to the service",
          "connectionPool.tcp.maxConnections", "circuit_breakers.max_connections",
          absent=INT32_MAX, since="1.0"),
    Field("max_requests_per_connection", "requests", "whole", 1, INT32_MAX, "requests before a connection is closed",
          "connectionPool.http.maxRequestsPerConnection", "common_http_protocol_options.max_requests_per_connection",
          absent=INT32_MAX, since="1.0"),
    Field("base_ejection_time_s", "s", "seconds", 0.001, _FINITE, "how long the first ejection of a replica lasts",
          "outlierDetection.baseEjectionTime", "outlier_detection.base_ejection_time",
          absent=30.0, since="1.0"),
    Field("max_ejection_percent", "%", "percent", 1, 100, "share of the replicas that may be ejected",
          "outlierDetection.maxEjectionPercent", "outlier_detection.max_ejection_percent",
          absent=10, since="1.0"),
    Field("interval_s", "s", "seconds", 0.001, _FINITE, "time between two sweeps of the outlier detector",
          "outlierDetection.interval", "outlier_detection.interval",
          absent=10.0, since="1.0"),
    Field("consecutive_5xx_errors", "errors", "whole", 0, INT32_MAX, "5xx responses in a row that eject a replica",
          "outlierDetection.consecutive5xxErrors", "outlier_detection.consecutive_5xx",
          absent=5, absent_section=0, since="1.5"),
)
# fmt: on

#: What can be sent: a closed loop, as Fortio's ``-c`` and ``-n``.
LOADS: dict[str, Field] = _table(
    Field("threads", "connections", "whole", 1, 4096, "connections that send one request after the other"),
    Field("calls", "calls", "whole", 1, INT32_MAX, "requests in total"),
)

#: What is measured.
OUTCOMES: dict[str, Field] = _table(
    Field("qps", "1/s", "number", 0, _FINITE, "requests per second, those with a 503 included"),
    Field("p200", "share", "share", 0, 1, "share of requests that returned 200"),
    Field("p503", "share", "share", 0, 1, "share of requests that returned 503"),
)

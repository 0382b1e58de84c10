"""The columns of a trace set: one row is one run, rules and load on the left, what happened on the right."""

from __future__ import annotations

import math
from dataclasses import dataclass

from meshgym.types import RESPONSE_NAMES, SETTING_NAMES


@dataclass(frozen=True, slots=True)
class Column:
    """Unit, meaning and the closed range of a column; ``whole`` where only whole numbers occur."""

    unit: str
    meaning: str
    low: float = 0
    high: float = math.inf
    whole: bool = True


#: Every column a trace set may have, in file order.
COLUMNS: dict[str, Column] = {
    "http1_max_pending_requests": Column("requests", "DestinationRule http1MaxPendingRequests", 1),
    "max_connections": Column("connections", "DestinationRule maxConnections", 1),
    "max_requests_per_connection": Column("requests", "DestinationRule maxRequestsPerConnection", 1),
    "base_ejection_time_s": Column("s", "DestinationRule baseEjectionTime", 0.001, whole=False),
    "max_ejection_percent": Column("%", "DestinationRule maxEjectionPercent", 1, 100),
    "interval_s": Column("s", "DestinationRule outlierDetection.interval", 0.001, whole=False),
    "consecutive_5xx_errors": Column("errors", "DestinationRule consecutive5xxErrors"),
    "threads": Column("connections", "closed-loop client connections", 1),
    "calls": Column("calls", "requests sent in total", 1),
    "qps": Column("1/s", "answers a second, 503s included", whole=False),
    "p200": Column("share", "calls answered 200", high=1, whole=False),
    "p503": Column("share", "calls answered 503", high=1, whole=False),
    "ok": Column("calls", "answered 200"),
    "overflow": Column("calls", "503: pending or connection limit (Envoy flag UO)"),
    "no_healthy_host": Column("calls", "503: every replica ejected (Envoy flag UH)"),
    "upstream_error": Column("calls", "503 from a replica"),
    "other_error": Column("calls", "another status, or no answer at all"),
    "latency_p50_ms": Column("ms", "median latency of a call", whole=False),
    "latency_p99_ms": Column("ms", "99th percentile of the latency", whole=False),
    "duration_s": Column("s", "from the first request to the last answer", whole=False),
    "ejections": Column("ejections", "replicas ejected during the run"),
    "overhead_s": Column("s", "time spent beside the load: applying rules, reading counters", whole=False),
    "repeat": Column("", "0: first run of this setting, 1..: repeats of it"),
    "lane": Column("", "which of the settings measured side by side"),
    "attempt": Column("", "1: measured at once, 2..: after failed attempts", 1),
    "run": Column("", "number in the shuffled plan"),
}

#: Columns without which a file is no trace set.
REQUIRED: tuple[str, ...] = SETTING_NAMES + RESPONSE_NAMES
#: Columns that say which run a row is.
BOOKKEEPING: tuple[str, ...] = ("repeat", "lane", "attempt", "run")

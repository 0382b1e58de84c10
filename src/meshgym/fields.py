"""What can be varied, sent and measured, as data: one table per kind, one row per field.

Everything else derives from these tables: the checks of :mod:`meshgym.types`, scenarios, the columns of trace sets, the
inputs of simulators, and the translation of rules to a DestinationRule, an Envoy cluster and Envoy Gateway's
BackendTrafficPolicy. Adding a field means adding a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from meshgym.errors import InvalidValueError

#: The largest int32 and uint32. Both also stand for "no limit".
INT32_MAX, UINT32_MAX = 2**31 - 1, 2**32 - 1

#: ``whole`` and ``percent`` are integers, ``flag`` is 0 or 1, ``choice`` is an index into ``choices``, the others are
#: finite floats. ``seconds`` is a duration of Istio.
Kind = Literal["whole", "percent", "flag", "choice", "seconds", "share", "number"]


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
            empty if it stands elsewhere or isn't a rule.
        envoy: where it stands in the Envoy cluster, with dots between keys (``circuit_breakers`` stands for its
            default threshold, ``common_http_protocol_options`` and ``http2_protocol_options`` for those of the HTTP
            protocol options); empty if the field isn't a rule, or its place depends on others.
        enforcing: where Envoy has the percentage that enforces it: 100 if the value is above 0.
        gateway: where it stands below ``spec`` of Envoy Gateway's BackendTrafficPolicy; empty if it has none.
        virtual_service: where it stands below ``spec.http[]`` of a VirtualService, if it stands there.
        absent: the value in force if the DestinationRule leaves the field out, in the field's unit; None if there is
            no such value, such as a limit.
        absent_section: the same if the DestinationRule leaves out the whole first key (``connectionPool`` and so on).
            None if that is no different; NaN if nothing is in force then.
        absent_envoy, absent_gateway: the same for an Envoy cluster and a BackendTrafficPolicy.
        choices: the values of a ``choice`` in a DestinationRule.
        counted: the count of requests, a column of traces, whose share of the calls an outcome is.
        since: the first Istio release that has the field.
        decides: whether it can change what comes back of a run on a sound network.
    """

    name: str
    unit: str
    kind: Kind
    low: float
    high: float
    doc: str
    destination_rule: str = ""
    envoy: str = ""
    enforcing: str = ""
    gateway: str = ""
    virtual_service: str = ""
    absent: float | None = None
    absent_section: float | None = None
    absent_envoy: float | None = None
    absent_gateway: float | None = None
    choices: tuple[str, ...] = ()
    counted: str = ""
    since: str = ""
    decides: bool = True

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are allowed."""
        return self.kind not in ("seconds", "share", "number")

    def check(self, value: object, low: float | None = None) -> Any:
        """Return ``value`` as an int or a float, according to the kind; NumPy's numbers are accepted too.

        A choice may also be given by its name.

        Args:
            value: one number.
            low: the lowest value allowed, if it isn't the field's own.

        Raises:
            InvalidValueError: another kind of value, or one out of range.
        """
        low = self.low if low is None else low
        if isinstance(value, str) and value in self.choices:
            value = self.choices.index(value)
        try:
            number: float = int(value) if self.whole else float(value)  # type: ignore[call-overload, arg-type]
            fits = low <= number <= self.high and (number == value or not self.whole) and not isinstance(value, bool)
            if fits and (self.kind != "seconds" or whole_milliseconds(number)):
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
            case "flag":
                return "0 (false) or 1 (true)"
            case "choice":
                return ", ".join(f"{index} ({choice})" for index, choice in enumerate(self.choices))
            case "share":
                return f"a share {low:g}..{self.high:g}"
            case "seconds":
                return f"seconds, at least {low:g}, in whole milliseconds (as Istio wants durations)"
        return f"a number {low:g}..{self.high:g}" if self.high < _FINITE else f"a finite number, {low:g} and above"


_FINITE = math.nextafter(math.inf, 0)
#: Seconds of the longest duration that Kubernetes reads: 2^63 nanoseconds, 292 years.
LONGEST_S = 9_223_372_036.0
#: Nothing is in force if the section is absent.
_NOTHING = math.nan


def whole_milliseconds(seconds: float) -> bool:
    """Return whether a duration has whole milliseconds, but for what a float can't hold."""
    return math.isclose(seconds * 1000, round(seconds * 1000), rel_tol=1e-12, abs_tol=1e-6)


def _table(*rows: Field) -> dict[str, Field]:
    return {row.name: row for row in rows}


# fmt: off
#: Fields of a DestinationRule, and of a VirtualService's route, that can be varied; the first seven are the paper's
#: (Table 1).
RULES: dict[str, Field] = _table(
    Field("http1_max_pending_requests", "requests", "whole", 1, INT32_MAX, "requests that may wait for a connection",
          "connectionPool.http.http1MaxPendingRequests", "circuit_breakers.max_pending_requests",
          gateway="circuitBreaker.maxPendingRequests",
          absent=INT32_MAX, absent_envoy=1024, absent_gateway=1024, since="1.0"),
    Field("max_connections", "connections", "whole", 1, INT32_MAX, "connections to the service",
          "connectionPool.tcp.maxConnections", "circuit_breakers.max_connections",
          gateway="circuitBreaker.maxConnections",
          absent=INT32_MAX, absent_envoy=1024, absent_gateway=1024, since="1.0"),
    Field("max_requests_per_connection", "requests", "whole", 1, INT32_MAX, "requests before a connection is closed",
          "connectionPool.http.maxRequestsPerConnection", "common_http_protocol_options.max_requests_per_connection",
          gateway="circuitBreaker.maxRequestsPerConnection",
          absent=INT32_MAX, since="1.0"),
    Field("base_ejection_time_s", "s", "seconds", 0.001, LONGEST_S, "how long the first ejection of a replica lasts",
          "outlierDetection.baseEjectionTime", "outlier_detection.base_ejection_time",
          gateway="healthCheck.passive.baseEjectionTime",
          absent=30.0, absent_envoy=30.0, absent_gateway=30.0, since="1.0"),
    Field("max_ejection_percent", "%", "percent", 1, 100, "share of the replicas that may be ejected",
          "outlierDetection.maxEjectionPercent", "outlier_detection.max_ejection_percent",
          gateway="healthCheck.passive.maxEjectionPercent",
          absent=10, absent_envoy=10, absent_gateway=10, since="1.0"),
    Field("interval_s", "s", "seconds", 0.001, LONGEST_S, "time between two sweeps of the outlier detector",
          "outlierDetection.interval", "outlier_detection.interval",
          gateway="healthCheck.passive.interval",
          absent=10.0, absent_envoy=10.0, absent_gateway=3.0, since="1.0"),
    Field("consecutive_5xx_errors", "errors", "whole", 0, UINT32_MAX, "5xx responses in a row that eject a replica",
          "outlierDetection.consecutive5xxErrors", "outlier_detection.consecutive_5xx",
          enforcing="outlier_detection.enforcing_consecutive_5xx",
          gateway="healthCheck.passive.consecutive5XxErrors",
          absent=5, absent_section=0, absent_envoy=5, absent_gateway=5, since="1.5"),
    Field("http2_max_requests", "requests", "whole", 1, INT32_MAX, "requests under way, over HTTP/1.1 too",
          "connectionPool.http.http2MaxRequests", "circuit_breakers.max_requests",
          gateway="circuitBreaker.maxParallelRequests",
          absent=INT32_MAX, absent_envoy=1024, absent_gateway=1024, since="1.0"),
    Field("max_retries", "retries", "whole", 1, INT32_MAX, "retries under way",
          "connectionPool.http.maxRetries", "circuit_breakers.max_retries",
          gateway="circuitBreaker.maxParallelRetries",
          absent=INT32_MAX, absent_envoy=3, absent_gateway=1024, since="1.0", decides=False),
    Field("idle_timeout_s", "s", "seconds", 0.001, LONGEST_S, "how long a connection without requests is kept",
          "connectionPool.http.idleTimeout", "common_http_protocol_options.idle_timeout",
          gateway="timeout.http.connectionIdleTimeout",
          absent=3600.0, absent_envoy=3600.0, absent_gateway=3600.0, since="1.1"),
    Field("tcp_idle_timeout_s", "s", "seconds", 0, LONGEST_S, "the same, if idle_timeout_s isn't given; 0 for no end",
          "connectionPool.tcp.idleTimeout", absent=3600.0, since="1.21", decides=False),
    Field("max_connection_duration_s", "s", "seconds", 0.001, LONGEST_S, "how long a connection is used at most",
          "connectionPool.tcp.maxConnectionDuration", "common_http_protocol_options.max_connection_duration",
          gateway="timeout.http.maxConnectionDuration", since="1.14"),
    Field("connect_timeout_s", "s", "seconds", 0.001, LONGEST_S, "how long opening a connection may take",
          "connectionPool.tcp.connectTimeout", "connect_timeout",
          gateway="timeout.tcp.connectTimeout",
          absent=10.0, absent_envoy=5.0, absent_gateway=10.0, since="1.0", decides=False),
    Field("tcp_keepalive_probes", "probes", "whole", 1, UINT32_MAX, "lost probes after which a connection is dead",
          "connectionPool.tcp.tcpKeepalive.probes", "upstream_connection_options.tcp_keepalive.keepalive_probes",
          gateway="tcpKeepalive.probes", since="1.1", decides=False),
    Field("tcp_keepalive_time_s", "s", "seconds", 0.001, LONGEST_S, "idle time before the first probe, whole seconds",
          "connectionPool.tcp.tcpKeepalive.time", "upstream_connection_options.tcp_keepalive.keepalive_time",
          gateway="tcpKeepalive.idleTime", since="1.1", decides=False),
    Field("tcp_keepalive_interval_s", "s", "seconds", 0.001, LONGEST_S, "time between two probes, in whole seconds",
          "connectionPool.tcp.tcpKeepalive.interval", "upstream_connection_options.tcp_keepalive.keepalive_interval",
          gateway="tcpKeepalive.interval", since="1.1", decides=False),
    Field("h2_upgrade_policy", "", "choice", 0, 2, "whether the sidecar talks HTTP/2 to an HTTP/1.1 service",
          "connectionPool.http.h2UpgradePolicy", choices=("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"),
          absent=0, since="1.4"),
    Field("use_client_protocol", "", "flag", 0, 1, "whether the sidecar talks the client's protocol to the service",
          "connectionPool.http.useClientProtocol", gateway="useClientProtocol",
          absent=0, absent_envoy=0, absent_gateway=0, since="1.12"),
    Field("max_concurrent_streams", "requests", "whole", 1, INT32_MAX, "requests at once on a connection of HTTP/2",
          "connectionPool.http.maxConcurrentStreams", "http2_protocol_options.max_concurrent_streams",
          gateway="http2.maxConcurrentStreams", absent=INT32_MAX, since="1.21", decides=False),
    Field("consecutive_gateway_errors", "errors", "whole", 0, UINT32_MAX, "502, 503, 504 in a row that eject a replica",
          "outlierDetection.consecutiveGatewayErrors", "outlier_detection.consecutive_gateway_failure",
          enforcing="outlier_detection.enforcing_consecutive_gateway_failure",
          gateway="healthCheck.passive.consecutiveGatewayErrors",
          absent=0, absent_envoy=0, absent_gateway=0, since="1.5"),
    Field("split_external_local_origin_errors", "", "flag", 0, 1, "whether failures to connect are counted apart",
          "outlierDetection.splitExternalLocalOriginErrors", "outlier_detection.split_external_local_origin_errors",
          gateway="healthCheck.passive.splitExternalLocalOriginErrors",
          absent=0, absent_envoy=0, absent_gateway=0, since="1.11"),
    Field("consecutive_local_origin_failures", "errors", "whole", 1, UINT32_MAX, "failures to connect that eject one",
          "outlierDetection.consecutiveLocalOriginFailures", "outlier_detection.consecutive_local_origin_failure",
          enforcing="outlier_detection.enforcing_consecutive_local_origin_failure",
          gateway="healthCheck.passive.consecutiveLocalOriginFailures",
          absent_envoy=5, absent_gateway=5, since="1.11"),
    Field("min_health_percent", "%", "percent", 0, 100, "share of healthy replicas below which ejections are ignored",
          "outlierDetection.minHealthPercent", "common_lb_config.healthy_panic_threshold.value",
          gateway="healthCheck.panicThreshold",
          absent=0, absent_envoy=50, absent_gateway=50, since="1.2"),
    Field("retry_budget_percent", "%", "number", 0, 100, "retries under way, as a share of requests",
          "retryBudget.percent", "circuit_breakers.retry_budget.budget_percent.value",
          absent=20.0, absent_section=_NOTHING, since="1.27", decides=False),
    Field("retry_budget_min_concurrency", "retries", "whole", 1, UINT32_MAX, "retries that the budget always allows",
          "retryBudget.minRetryConcurrency", "circuit_breakers.retry_budget.min_retry_concurrency",
          absent=3, absent_section=_NOTHING, since="1.27", decides=False),
    Field("load_balancer", "", "choice", 0, 5, "how a replica is chosen",
          "loadBalancer.simple",
          choices=("LEAST_REQUEST", "RANDOM", "ROUND_ROBIN", "PASSTHROUGH", "LEAST_CONN", "UNSPECIFIED"),
          absent=0, since="1.0"),
    Field("warmup_duration_s", "s", "seconds", 0.001, LONGEST_S, "how long a new replica gets less",
          "loadBalancer.warmup.duration", gateway="loadBalancer.slowStart.window", since="1.24"),
    Field("warmup_minimum_percent", "%", "number", 0, 100, "share of its weight that a new replica begins with",
          "loadBalancer.warmup.minimumPercent", absent=10.0, absent_section=_NOTHING, since="1.24", decides=False),
    Field("warmup_aggression", "", "number", 1, _FINITE, "how the weight of a new replica grows; 1 is a straight line",
          "loadBalancer.warmup.aggression", absent=1.0, absent_section=_NOTHING, since="1.24", decides=False),
    Field("route_timeout_s", "s", "seconds", 0.001, LONGEST_S, "how long a call may take, its retries included",
          virtual_service="timeout", since="1.0"),
    Field("retry_attempts", "retries", "whole", 0, INT32_MAX, "how often a call that failed is sent again",
          virtual_service="retries.attempts", absent=2, since="1.0"),
    Field("retry_per_try_timeout_s", "s", "seconds", 0.001, LONGEST_S, "how long each attempt may take",
          virtual_service="retries.perTryTimeout", since="1.0"),
    Field("retry_on", "", "choice", 0, 3, "which failures are sent again",
          virtual_service="retries.retryOn", choices=("DEFAULT", "5xx", "gateway-error", "reset"),
          absent=0, since="1.1"),
)
# fmt: on
#: Those of a DestinationRule, and those of a VirtualService's route.
OF_DESTINATION_RULE = {name: field for name, field in RULES.items() if field.destination_rule}
OF_ROUTE = {name: field for name, field in RULES.items() if field.virtual_service}
# fmt: off
#: What can be sent. A load has a pace, which is one of the first two, and a number of calls.
LOADS: dict[str, Field] = _table(
    Field("threads", "connections", "whole", 1, 4096, "connections that send one request after the other"),
    Field("rate_per_s", "1/s", "number", 0.001, 1_000_000, "requests that are due per second"),
    Field("calls", "calls", "whole", 1, INT32_MAX, "requests in total"),
)
#: The fields of a load in a closed loop, as Fortio's ``-c`` and ``-n``, and in an open one.
LOOPS: dict[str, tuple[str, ...]] = {"closed": ("threads", "calls"), "open": ("rate_per_s", "calls")}

#: What is measured: the first three always, the others where a mesh can tell.
OUTCOMES: dict[str, Field] = _table(
    Field("qps", "1/s", "number", 0, _FINITE, "requests per second, those with a 503 included"),
    Field("p200", "share", "share", 0, 1, "share of requests that returned 200"),
    Field("p503", "share", "share", 0, 1, "share of requests that returned 503"),
    Field("p_overflow", "share", "share", 0, 1, "share with a 503 for want of a connection or of room in the queue",
          counted="overflow"),
    Field("p_no_healthy_host", "share", "share", 0, 1, "share with a 503 because every replica is ejected",
          counted="no_healthy_host"),
    Field("p_upstream_error", "share", "share", 0, 1, "share with a 503 from a replica", counted="upstream_error"),
    Field("p_reset", "share", "share", 0, 1, "share whose connection failed or was reset", counted="reset"),
    Field("p_timeout", "share", "share", 0, 1, "share without a response in time", counted="timeout"),
    Field("latency_p50_s", "s", "number", 0, _FINITE, "median latency of the 200s"),
    Field("latency_p90_s", "s", "number", 0, _FINITE, "90th percentile of the latency of the 200s"),
    Field("latency_p99_s", "s", "number", 0, _FINITE, "99th percentile of the latency of the 200s"),
)
# fmt: on


def settings_among(names: Iterable[object]) -> tuple[str, ...]:
    """Return the rules and loads among names, in the order of the tables."""
    found = set(names)
    return tuple(name for name in (*RULES, *LOADS) if name in found)

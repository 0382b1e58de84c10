"""What a DestinationRule does that its author may not expect: one row per finding.

Each has a code that stays, a page in the docs, and, where Envoy shows it, a change of the rule to compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from meshgym.explain.situation import (
    Situation,
    replaced,
    retries,
    same_host,
    unmeasured,
    whole_service,
    zeros,
)
from meshgym.fields import INT32_MAX, RULES
from meshgym.rules.policy import Policy, merge, traffic_policy
from meshgym.rules.schema import policies
from meshgym.types import TrafficRules

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")


@dataclass(frozen=True)
class Row:
    """One thing to look for.

    Attributes:
        code: its name for good.
        title: its name in words.
        severity: how much it matters.
        field: where in the ``spec`` it shows, with dots between keys.
        holds: whether it is so.
        reason: what happens, and why; gets the situation.
        remedy: what to do about it.
        instead: the policy to compare with on a real Envoy; None where Envoy shows nothing.
        failing: whether one of the replicas must answer 503 for that, or all.
        calls: how many show it, sent by 16 threads to a service that takes 5 ms.
    """

    code: str
    title: str
    severity: Severity
    field: str
    holds: Callable[[Situation], Any]
    reason: Callable[[Situation], str]
    remedy: str
    instead: Callable[[Situation], Policy] | None = None
    failing: Literal["one", "all"] = "one"
    calls: int = 1600


#: Calls that take some seconds, where ejections must follow each other: Envoy holds one back for up to a second.
_SECONDS = 6400


def _with(**values: float | None) -> Callable[[Situation], Policy]:
    """Return a change of the policy: some fields with other values, or taken out (None)."""

    def change(situation: Situation) -> Policy:
        policy: Policy = dict(situation.policy)
        for name, value in values.items():
            field = RULES[name]
            if value is None:
                policy = _without(policy, field.destination_rule.split("."))
            else:
                policy = merge(policy, traffic_policy(TrafficRules(**{name: value})))
        return policy

    return change


def _without(policy: Policy, keys: list[str]) -> Policy:
    key, *rest = keys
    if key not in policy:
        return policy
    if not rest:
        return {name: value for name, value in policy.items() if name != key}
    return {**policy, key: _without(policy[key], rest)}


_DETECTION, _HTTP = "trafficPolicy.outlierDetection", "trafficPolicy.connectionPool.http"

#: Everything that is looked for.
FINDINGS: dict[str, Row] = {
    row.code: row
    for row in (
        Row(
            "MG101", "no replica can be ejected", "error", f"{_DETECTION}.maxEjectionPercent",
            lambda s: s.ejects and not s.ejectable,
            lambda s: f"{s.values.max_ejection_percent:g} % of {s.replicas} replicas is less than one: none is ejected",
            "Raise maxEjectionPercent to at least 100 / replicas.",
            lambda s: _with(max_ejection_percent=min(100, -(-100 // s.replicas)))(s),
        ),
        Row(
            "MG102", "consecutiveGatewayErrors decides alone", "warning", f"{_DETECTION}.consecutiveGatewayErrors",
            lambda s: 0 < s.gateway_errors <= s.errors,
            lambda s: f"502, 503 and 504 eject after {s.gateway_errors:g} in a row, before consecutive5xxErrors "
            f"({s.errors:g}) is reached",
            "Set one of the two; 0 turns the other off.",
            _with(consecutive_gateway_errors=0),
        ),
        Row(
            "MG103", "consecutiveGatewayErrors does nothing", "warning", f"{_DETECTION}.consecutiveGatewayErrors",
            lambda s: s.gateway_errors > s.errors > 0,
            lambda s: f"every 502, 503 and 504 counts as a 5xx too, and {s.errors:g} of those eject",
            "Lower it below consecutive5xxErrors, or set consecutive5xxErrors to 0.",
            _with(consecutive_gateway_errors=0),
        ),
        Row(
            "MG104", "ejections are ignored when few are healthy", "warning", f"{_DETECTION}.minHealthPercent",
            lambda s: s.ejects and s.values.min_health_percent,
            lambda s: f"if less than {s.values.min_health_percent:g} % of the replicas are healthy, Envoy sends to all "
            "of them again, ejected or not",
            "Leave minHealthPercent out, unless answers from failing replicas are better than none.",
            _with(min_health_percent=0),
            "all",
            _SECONDS,
        ),
        Row(
            "MG105", "nothing is ever ejected", "info", _DETECTION,
            lambda s: not s.detects,
            lambda s: "without outlierDetection a failing replica keeps its share of the requests",
            "Add outlierDetection; even {} has Envoy's defaults.",
            lambda s: merge(s.policy, {"outlierDetection": {"maxEjectionPercent": 100, "consecutive5xxErrors": 1}}),
        ),
        Row(
            "MG106", "an empty outlierDetection is not off", "info", _DETECTION,
            lambda s: s.detects and not s.policy["outlierDetection"],
            lambda s: "{} means Envoy's defaults: 5 errors in a row eject a replica for 30 s, at most 10 % of them",
            "Write down what you want, or leave outlierDetection out.",
            lambda s: {part: value for part, value in s.policy.items() if part != "outlierDetection"},
        ),
        Row(
            "MG107", "no error ejects", "warning", f"{_DETECTION}.consecutive5xxErrors",
            lambda s: s.detects and not s.ejects and not s.values.consecutive_local_origin_failures,
            lambda s: "consecutive5xxErrors is 0 and consecutiveGatewayErrors isn't above 0, so nothing is counted",
            "Set one of them above 0.",
            _with(consecutive_5xx_errors=1),
        ),
        Row(
            "MG108", "an ejection ends at the next sweep", "info", f"{_DETECTION}.baseEjectionTime",
            lambda s: s.ejects and s.values.base_ejection_time_s < s.values.interval_s,
            lambda s: f"Envoy takes replicas back only once every interval ({s.values.interval_s:g} s), so an ejection "
            f"of {s.values.base_ejection_time_s:g} s lasts up to {s.values.interval_s:g} s",
            "Make interval shorter than baseEjectionTime.",
            lambda s: _with(interval_s=min(s.values.base_ejection_time_s, 0.1))(s),
            calls=_SECONDS,
        ),
        Row(
            "MG109", "all replicas can be ejected", "warning", f"{_DETECTION}.maxEjectionPercent",
            lambda s: s.ejects and s.ejectable >= s.replicas > 1 and not s.values.min_health_percent,
            lambda s: f"all {s.replicas} replicas can be ejected at once; then every request is a 503 (flag UH)",
            "Lower maxEjectionPercent so that some stay.",
            lambda s: _with(max_ejection_percent=max(1, 100 - 100 // s.replicas))(s),
            "all",
        ),
        Row(
            "MG201", "http2MaxRequests caps HTTP/1.1 too", "warning", f"{_HTTP}.http2MaxRequests",
            lambda s: s.values.http2_max_requests < INT32_MAX and s.values.h2_upgrade_policy != 2,
            lambda s: f"at most {s.values.http2_max_requests:g} requests are under way, whatever the protocol; the "
            "others get a 503 (flag UO)",
            "Set it to what the service can work on at once, or leave it out.",
            _with(http2_max_requests=None),
        ),
        Row(
            "MG202", "requests queue without end", "warning", f"{_HTTP}.http1MaxPendingRequests",
            lambda s: s.values.max_connections < INT32_MAX == s.values.http1_max_pending_requests,
            lambda s: f"maxConnections is {s.values.max_connections:g}, but nothing limits the queue: it never trips, "
            "requests wait",
            "Set http1MaxPendingRequests to how many may wait.",
            _with(http1_max_pending_requests=1),
        ),
        Row(
            "MG203", "the queue is shorter than the pool", "warning", f"{_HTTP}.http1MaxPendingRequests",
            lambda s: s.values.http1_max_pending_requests < min(s.values.max_connections, 1024),
            lambda s: "a request whose connection is still being opened counts as pending, so a burst of more than "
            f"{s.values.http1_max_pending_requests:g} new connections gets 503s although connections are free",
            "Set http1MaxPendingRequests to at least maxConnections.",
            _with(http1_max_pending_requests=1024),
        ),
        Row(
            "MG204", "a connection for each request", "info", f"{_HTTP}.maxRequestsPerConnection",
            lambda s: s.values.max_requests_per_connection == 1,
            lambda s: "maxRequestsPerConnection is 1: no keep-alive, so each request opens a connection",
            "Leave it out, or raise it.",
            _with(max_requests_per_connection=None),
        ),
        Row(
            "MG205", "0 means not set", "warning", "trafficPolicy",
            zeros,
            lambda s: "istiod reads 0 as absent, so the default holds for "
            + ", ".join(RULES[name].destination_rule for name in zeros(s)),
            "Leave it out, or set it above 0.",
            lambda s: _with(**dict.fromkeys(zeros(s), 1))(s),
        ),
        Row(
            "MG206", "limits of connections mean little over HTTP/2", "info", f"{_HTTP}.h2UpgradePolicy",
            lambda s: s.values.h2_upgrade_policy == 2 and s.values.max_connections < INT32_MAX,
            lambda s: "over HTTP/2 one connection carries many requests, so maxConnections limits hardly anything",
            "Limit http2MaxRequests.",
            _with(h2_upgrade_policy=1),
        ),
        Row(
            "MG301", "a subset or port replaces the whole", "warning", "subsets",
            lambda s: (s.chosen.subset or s.chosen.port) and replaced(s),
            lambda s: f"its own settings don't add to those above: {', '.join(replaced(s))} no longer hold",
            "Repeat what should hold.",
            whole_service,
        ),
        Row(
            "MG302", "retryBudget of a port is dropped", "warning", "trafficPolicy.portLevelSettings",
            lambda s: any("retryBudget" in own for path, own in policies(s.chosen.rule.spec) if path.endswith("]")),
            lambda s: "the API server removes retryBudget from portLevelSettings without a word",
            "Put it into the policy of the whole service.",
        ),
        Row(
            "MG303", "a wildcard host", "info", "host",
            lambda s: "*" in s.chosen.rule.host,
            lambda s: f"{s.chosen.rule.host} stands for many services; each has its own limits, and a rule for one of "
            "them replaces this one",
            "Name the service if you mean one.",
        ),
        Row(
            "MG304", "a short host", "info", "host",
            lambda s: "." not in s.chosen.rule.host.rstrip(".") and "*" not in s.chosen.rule.host,
            lambda s: f"Istio looks for {s.chosen.rule.host} in the rule's own namespace, {s.chosen.rule.namespace}, "
            "not in the client's",
            "Write the full name: SERVICE.NAMESPACE.svc.cluster.local.",
        ),
        Row(
            "MG305", "two rules for one host", "error", "host",
            same_host,
            lambda s: f"{', '.join(same_host(s))} is for the same host; only the older one's policy holds",
            "Keep one.",
        ),
        Row(
            "MG306", "retries come on top", "warning", "trafficPolicy.connectionPool.http.maxRetries",
            lambda s: retries(s) and s.values.max_retries == INT32_MAX and s.values.retry_budget_percent is None,
            lambda s: f"VirtualService {', '.join(retries(s))} retries failed calls, and nothing limits how many "
            "retries are under way: under overload they multiply it",
            "Set maxRetries or retryBudget.",
        ),
        Row(
            "MG307", "limits are per sidecar", "info", "trafficPolicy.connectionPool",
            lambda s: s.values.max_connections < INT32_MAX or s.values.http2_max_requests < INT32_MAX,
            lambda s: "each client's sidecar counts for itself: with 10 clients the service can get 10 times as much",
            "Divide what the service can take by the number of clients.",
        ),
        Row(
            "MG308", "not measured here", "info", "trafficPolicy",
            unmeasured,
            lambda s: f"{', '.join(unmeasured(s))}: read and kept, but the embedded mesh has nothing for it to act on",
            "Measure in a cluster if it matters.",
        ),
        Row(
            "MG309", "one replica", "warning", _DETECTION,
            lambda s: s.ejects and s.replicas == 1 and s.ejectable == 1,
            lambda s: "the only replica can be ejected, and then there is none",
            "Run more replicas, or leave outlierDetection out.",
            lambda s: {part: value for part, value in s.policy.items() if part != "outlierDetection"},
            "all",
        ),
        Row(
            "MG310",
            "no counterpart in a DestinationRule",
            "warning",
            "trafficPolicy",
            lambda s: s.manifest.lost,
            lambda s: "where the file comes from there also holds what a DestinationRule can't say: "
            + ", ".join(s.manifest.lost),
            "Look at what it does there.",
        ),
    )
}  # fmt: skip

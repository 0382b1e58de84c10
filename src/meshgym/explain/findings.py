"""What a DestinationRule does that its author may not expect: one row per finding.

Each has a code that stays, a page in the docs, and, where Envoy shows it, a change of the rule to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from meshgym.fields import INT32_MAX, RULES
from meshgym.rules.destination_rule import Chosen, Manifest
from meshgym.rules.policy import find, given_rules, merge, traffic_policy, traffic_rules
from meshgym.rules.schema import policies
from meshgym.types import TrafficRules

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Situation:
    """A rule to look at.

    Attributes:
        chosen: which policy.
        manifest: all that stands in the file.
        replicas: how many the service has.
    """

    chosen: Chosen
    manifest: Manifest
    replicas: int

    @property
    def policy(self) -> Policy:
        """The ``trafficPolicy`` in force."""
        return self.chosen.policy

    @property
    def values(self) -> TrafficRules:
        """The values in force."""
        return traffic_rules(self.policy)

    @property
    def detects(self) -> bool:
        """Whether there is an outlier detection."""
        return self.policy.get("outlierDetection") is not None

    @property
    def ejectable(self) -> int:
        """How many replicas can be ejected."""
        return int(self.replicas * (self.values.max_ejection_percent or 0) // 100)

    @property
    def errors(self) -> float:
        """How many 5xx in a row eject a replica; 0 if they never do."""
        return self.values.consecutive_5xx_errors or 0

    @property
    def gateway_errors(self) -> float:
        """How many 502, 503 and 504 in a row do."""
        return self.values.consecutive_gateway_errors or 0

    @property
    def ejects(self) -> bool:
        """Whether errors eject replicas at all."""
        return bool(self.errors or self.gateway_errors)


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


def _zeros(situation: Situation) -> list[str]:
    """Return the names of fields that are 0 where istiod reads 0 as absent."""
    return [
        field.name
        for field in RULES.values()
        if field.whole and field.low > 0 and find(situation.policy, field.destination_rule) == 0
    ]


def _whole_service(situation: Situation) -> Policy:
    """Return the parts of the whole service's policy that a subset or port replaces, merged with their own."""
    own = situation.policy
    whole = situation.chosen.rule.spec.get("trafficPolicy", {})
    return merge({part: whole[part] for part in ("connectionPool", "outlierDetection") if part in whole}, own)


def _replaced(situation: Situation) -> list[str]:
    """Return the fields of the whole service's policy that a subset or port leaves out."""
    whole, own = (
        given_rules(policy).to_dict()
        for policy in (situation.chosen.rule.spec.get("trafficPolicy", {}), situation.policy)
    )
    return [RULES[name].destination_rule for name in whole if name not in own]


def _same_host(situation: Situation) -> list[str]:
    rule = situation.chosen.rule
    return [other.title for other in situation.manifest.rules if other is not rule and other.host == rule.host]


def _retries(situation: Situation) -> list[str]:
    """Return the VirtualServices of the file that retry calls to this host."""
    short = situation.chosen.rule.host.partition(".")[0]
    found = []
    for one in situation.manifest.others:
        routes = (one.get("spec") or {}).get("http") or () if one.get("kind") == "VirtualService" else ()
        for route in routes:
            hosts = {str(to["destination"].get("host")).partition(".")[0] for to in route.get("route") or ()}
            if route.get("retries") and short in hosts:
                found.append(str((one.get("metadata") or {}).get("name")))
    return found


def _lost(situation: Situation) -> tuple[str, ...]:
    return situation.manifest.lost


def _unmeasured(situation: Situation) -> list[str]:
    """Return the parts that are in force and play no part in the embedded mesh."""
    parts = [part for part in ("tls", "tunnel", "proxyProtocol") if situation.policy.get(part) is not None]
    balancer = situation.policy.get("loadBalancer") or {}
    return parts + [f"loadBalancer.{key}" for key in ("consistentHash", "localityLbSetting") if key in balancer]


_DETECTION, _HTTP, _TCP = (
    f"trafficPolicy.{path}" for path in ("outlierDetection", "connectionPool.http", "connectionPool.tcp")
)

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
            _zeros,
            lambda s: "istiod reads 0 as absent, so the default holds for "
            + ", ".join(RULES[name].destination_rule for name in _zeros(s)),
            "Leave it out, or set it above 0.",
            lambda s: _with(**dict.fromkeys(_zeros(s), 1))(s),
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
            lambda s: (s.chosen.subset or s.chosen.port) and _replaced(s),
            lambda s: f"its own settings don't add to those above: {', '.join(_replaced(s))} no longer hold",
            "Repeat what should hold.",
            _whole_service,
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
            _same_host,
            lambda s: f"{', '.join(_same_host(s))} is for the same host; only the older one's policy holds",
            "Keep one.",
        ),
        Row(
            "MG306", "retries come on top", "warning", "trafficPolicy.connectionPool.http.maxRetries",
            lambda s: _retries(s) and s.values.max_retries == INT32_MAX and s.values.retry_budget_percent is None,
            lambda s: f"VirtualService {', '.join(_retries(s))} retries failed calls, and nothing limits how many "
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
            _unmeasured,
            lambda s: f"{', '.join(_unmeasured(s))}: read and kept, but the embedded mesh has nothing for it to act on",
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
            _lost,
            lambda s: f"a DestinationRule has nothing for {', '.join(_lost(s))}, which holds where the file comes from",
            "Look at what it does there.",
        ),
    )
}  # fmt: skip

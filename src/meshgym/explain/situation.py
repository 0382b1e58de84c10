"""A rule to look at, and what is asked about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from meshgym.fields import RULES
from meshgym.rules.destination_rule import Chosen, Manifest
from meshgym.rules.policy import Policy, find, given_rules, merge, traffic_rules
from meshgym.types import TrafficRules


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

    @cached_property
    def policy(self) -> Policy:
        """The ``trafficPolicy`` in force."""
        return self.chosen.policy

    @cached_property
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


def zeros(situation: Situation) -> list[str]:
    """Return the names of fields that are 0 where istiod reads 0 as absent."""
    return [
        field.name
        for field in RULES.values()
        if field.whole and field.low > 0 and find(situation.policy, field.destination_rule) == 0
    ]


def whole_service(situation: Situation) -> Policy:
    """Return the parts of the whole service's policy that a subset or port replaces, merged with their own."""
    own = situation.policy
    whole = situation.chosen.rule.spec.get("trafficPolicy", {})
    return merge({part: whole[part] for part in ("connectionPool", "outlierDetection") if part in whole}, own)


def replaced(situation: Situation) -> list[str]:
    """Return the fields of the whole service's policy that a subset or port leaves out."""
    whole, own = (
        given_rules(policy).to_dict()
        for policy in (situation.chosen.rule.spec.get("trafficPolicy", {}), situation.policy)
    )
    return [RULES[name].destination_rule for name in whole if name not in own]


def same_host(situation: Situation) -> list[str]:
    """Return the file's other rules for the same host."""
    rule = situation.chosen.rule
    return [other.title for other in situation.manifest.rules if other is not rule and other.host == rule.host]


def retries(situation: Situation) -> list[str]:
    """Return the VirtualServices of the file that retry calls to this host."""
    return [
        str(find(one, "metadata.name"))
        for one in situation.manifest.others
        if one.get("kind") == "VirtualService"
        and any(_retries(route, situation.chosen.rule.host) for route in _list(find(one, "spec.http")))
    ]


def _retries(route: Any, host: str) -> bool:
    """Return whether a route of a VirtualService retries calls to a host; what isn't a route doesn't."""
    hosts = (find(to, "destination.host") for to in _list(find(route, "route")))
    short = host.partition(".")[0]
    return bool(find(route, "retries")) and short in {str(one).partition(".")[0] for one in hosts}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def unmeasured(situation: Situation) -> list[str]:
    """Return the parts that are in force and play no part in the embedded mesh."""
    parts = [part for part in ("tls", "tunnel", "proxyProtocol") if situation.policy.get(part) is not None]
    balancer = situation.policy.get("loadBalancer") or {}
    return parts + [f"loadBalancer.{key}" for key in ("consistentHash", "localityLbSetting") if key in balancer]

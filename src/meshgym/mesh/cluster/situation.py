"""What else decides the outcome of a run in a cluster: rules in force, the sidecar, the port's protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.fields import RULES
from meshgym.mesh.cluster.sidecar import TRAFFIC, Snapshot, rule_of
from meshgym.mesh.shapes import Object
from meshgym.rules.envoy_cluster import HTTP_OPTIONS, deviations
from meshgym.rules.policy import find, given_rules, seconds, written
from meshgym.scenarios import Scenario
from meshgym.types import TrafficRules

#: What can be accepted besides rules: a service that is talked to over HTTP/2.
HTTP2 = "http2"
_IDLE_TIMEOUT = "3600s"


@dataclass(frozen=True)
class Situation:
    """What is in force before anything is changed.

    Attributes:
        rules: values that the DestinationRule or the mesh gives.
        envoy: version of the sidecar's Envoy.
        istio: version of the sidecar's Istio; empty if it doesn't say.
        workers: of the sidecar; 0 if it doesn't say.
        idle_timeout: how long the sidecar keeps a connection that isn't used.
        protocol: what the sidecar talks to the service, ``http1`` or ``http2``.
    """

    rules: TrafficRules
    envoy: str
    istio: str
    workers: int
    idle_timeout: str
    protocol: str

    def to_dict(self) -> dict[str, Any]:
        """Return all but the rules and the versions, for a provenance."""
        return {"workers": self.workers, "idle_timeout": self.idle_timeout, "protocol": self.protocol}

    def __str__(self) -> str:
        rules = ", ".join(f"{name} {value}" for name, value in _as_written(self.rules).items()) or "no rules"
        istio = f" of Istio {self.istio}" if self.istio else ""
        workers = f"{self.workers} workers" if self.workers else "an unknown number of workers"
        return (
            f"in force: {rules}; Envoy {self.envoy}{istio} with {workers}, idle connections kept {self.idle_timeout}, "
            f"{self.protocol}"
        )


def compare(situation: Situation, scenario: Scenario) -> str:
    """Say whether the sidecar is like the one that a scenario's own numbers stand for, and what follows."""
    profile = scenario.service
    if profile is None:
        return f"scenario {scenario.name} has no service profile to compare the sidecar with"
    idle_s, own_idle_s = seconds(situation.idle_timeout, "idle timeout"), profile.idle_timeout_ms / 1000
    differs = []
    if situation.workers not in (0, profile.proxy_workers):
        differs.append(
            f"it has {situation.workers} workers, not {profile.proxy_workers}: each opens connections of its own, so "
            "maxConnections limits less the more there are"
        )
    if idle_s != own_idle_s:
        differs.append(
            f"it keeps idle connections for {idle_s:g} s, not {own_idle_s:g} s: until then they count against "
            "maxConnections"
        )
    if not differs:
        return f"the sidecar's workers and idle time are those of scenario {scenario.name}"
    return (
        f"the sidecar isn't that of scenario {scenario.name}: {'; '.join(differs)}. Its simulator will be off where "
        "few connections are allowed; collect traces here"
    )


def look_at(snapshot: Snapshot, policy: Object, named: str) -> Situation:
    """Return the situation before a loan.

    Args:
        snapshot: the sidecar's clusters for the service.
        policy: the ``trafficPolicy`` that should be in force.
        named: ``NAMESPACE/NAME`` of the DestinationRule.

    Raises:
        InvalidValueError: the rules in force are another DestinationRule's.
    """
    for one in snapshot.clusters:
        _check_rule(one.cluster, policy, named)
    cluster = snapshot.clusters[0].cluster
    options = find(cluster, "typed_extension_protocol_options") or {}
    http: Object = options.get(HTTP_OPTIONS) or {}
    info = snapshot.info
    istio = info.node.metadata.get("ISTIO_VERSION")
    return Situation(
        given_rules(policy),
        info.envoy,
        istio if isinstance(istio, str) else "",
        info.command_line_options.concurrency,
        find(http, "common_http_protocol_options.idle_timeout") or _IDLE_TIMEOUT,
        HTTP2 if find(http, "explicit_http_config.http2_protocol_options") is not None else "http1",
    )


def _as_written(rules: TrafficRules) -> dict[str, object]:
    """Return the rules as a DestinationRule has them, by their own names."""
    return {name: written(RULES[name], value) for name, value in rules.to_dict().items()}


def _check_rule(cluster: Object, policy: Object, named: str) -> None:
    """Check that a cluster is as the DestinationRule has it.

    By its values first: a rule in force without a ``trafficPolicy`` has another one's values under its own name.
    """
    if (differing := deviations(cluster, policy)) and (name := rule_of(cluster)) != named:
        whose = f"those of {name}" if name else "those of no DestinationRule"
        remedy = (
            f"{'; '.join(differing)}. Measure with the DestinationRule that is in force: an older one for the same "
            "host, or one in the client's or the root namespace, may come before yours."
        )
        raise InvalidValueError(f"the rules in force in {cluster['name']}", whose, f"those of {named}", remedy)


def refuse_others(situation: Situation, scenario: Scenario, held: Iterable[str], accept: Sequence[str]) -> None:
    """Check that nothing decides outcomes unseen.

    Args:
        situation: what is in force.
        scenario: what varies.
        held: names of the rules that its base holds.
        accept: names of rules, ``http2`` or ``traffic``, to measure under nevertheless.

    Raises:
        UnknownNameError: there is no such rule to accept.
        InvalidValueError: what neither varies nor is held nor is accepted.
    """
    for name in accept:
        if name not in (*RULES, HTTP2, TRAFFIC):
            raise UnknownNameError("rule to accept", name, [*RULES, HTTP2, TRAFFIC])
    known = {*scenario.rules, *held, *accept}
    in_force: dict[str, object] = {
        name: value for name, value in _as_written(situation.rules).items() if RULES[name].decides and name not in known
    }
    # The rules that ask for it say so themselves.
    asked = {"h2_upgrade_policy", "use_client_protocol"} & situation.rules.to_dict().keys()
    if situation.protocol == HTTP2 and HTTP2 not in accept and not asked:
        in_force[HTTP2] = "the port's protocol, under which pending requests and connections mean next to nothing"
    if in_force:
        remedy = f"Vary them, put them into the scenario's base, or accept them: --accept {' '.join(in_force)}."
        allowed = f"only rules that scenario {scenario.name} varies or holds"
        raise InvalidValueError("rules in force in the cluster", in_force, allowed, remedy)

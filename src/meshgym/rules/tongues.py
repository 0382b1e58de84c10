"""The same rules in two other tongues: Envoy Gateway's BackendTrafficPolicy, and a plain Envoy cluster.

Both have their places and defaults in :data:`meshgym.fields.RULES`; what is here is what a table can't say. A field
without a counterpart is named, never dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from meshgym.errors import FileError, InvalidValueError
from meshgym.fields import INT32_MAX, RULES, UINT32_MAX, Field
from meshgym.files import read_text, reading
from meshgym.rules.checks import mapping
from meshgym.rules.destination_rule import Chosen, DestinationRule, Manifest, manifest_of
from meshgym.rules.envoy_cluster import HTTP_OPTIONS, envoy_cluster
from meshgym.rules.policy import Policy, duration, find, given, paths, seconds, traffic_policy, traffic_rules, tree
from meshgym.rules.schema import ISTIO, check_names
from meshgym.types import TrafficRules

_REMEDY = "Give a DestinationRule, a BackendTrafficPolicy or an Envoy cluster."
GATEWAY = "gateway.envoyproxy.io/v1alpha1"
#: How the balancers of a DestinationRule are called.
_GATEWAY_BALANCERS = {"LEAST_REQUEST": "LeastRequest", "ROUND_ROBIN": "RoundRobin", "RANDOM": "Random"}
_ENVOY_BALANCERS = {name: name for name in _GATEWAY_BALANCERS} | {"PASSTHROUGH": "CLUSTER_PROVIDED"}
_OPTIONS = "typed_extension_protocol_options"
_HTTP = ("@type", "common_http_protocol_options", "explicit_http_config", "use_downstream_protocol_config")
#: Keys of a cluster that say which service it is, not how it is protected.
_IDENTITY = ("name", "type", "load_assignment", "metadata", "eds_cluster_config", "alt_stat_name", "@type")


@dataclass(frozen=True)
class Translated:
    """Rules in another tongue.

    Attributes:
        document: the object in that tongue; for :func:`read_gateway` and :func:`read_cluster` a ``trafficPolicy``.
        lost: paths in the source that have no counterpart.
    """

    document: dict[str, Any]
    lost: tuple[str, ...]


def write_gateway(policy: Policy, name: str, namespace: str) -> Translated:
    """Return a BackendTrafficPolicy for the HTTPRoute ``name`` that protects as a ``trafficPolicy`` does.

    Raises:
        InvalidValueError: a duration that is too long for the Gateway API.
    """
    values = {}
    for field, value in _in_force(policy):
        usual = field.absent if field.absent_gateway is None else field.absent_gateway
        if field.gateway and value != usual:
            values[field.gateway] = _gateway_value(field, value)
    balancer = find(policy, "loadBalancer.simple")
    if balancer in _GATEWAY_BALANCERS:
        values["loadBalancer.type"] = _GATEWAY_BALANCERS[balancer]
    spec = {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": name}], **tree(values)}
    if policy.get("outlierDetection") is not None:
        spec.setdefault("healthCheck", {}).setdefault("passive", {})
    kind = {"apiVersion": GATEWAY, "kind": "BackendTrafficPolicy", "metadata": {"name": name, "namespace": namespace}}
    known = {field.destination_rule for field in _with("gateway")} | {"connectionPool.tcp.idleTimeout"}
    if balancer in (None, "UNSPECIFIED", "LEAST_CONN", *_GATEWAY_BALANCERS):
        known.add("loadBalancer.simple")
    return Translated({**kind, "spec": spec}, tuple(_unknown(policy, known)))


def read_gateway(document: Policy) -> Translated:
    """Return the ``trafficPolicy`` that protects as a BackendTrafficPolicy does.

    Raises:
        InvalidValueError: it is something else, or has a value that no rule can have.
    """
    if document.get("kind") != "BackendTrafficPolicy" or not isinstance(document.get("spec"), Mapping):
        raise InvalidValueError("kind", document.get("kind"), "BackendTrafficPolicy, with a spec")
    spec = document["spec"]
    detects = find(spec, "healthCheck.passive") is not None
    values = {field.name: _read(field, find(spec, field.gateway), field.absent_gateway) for field in _with("gateway")}
    names = {ours: theirs for theirs, ours in _GATEWAY_BALANCERS.items()}
    kind = find(spec, "loadBalancer.type")
    known = {field.gateway for field in _with("gateway")} | {"targetRef", "targetRefs"}
    if kind in names:
        values["load_balancer"] = RULES["load_balancer"].choices.index(names[kind])
        known.add("loadBalancer.type")
    lost = [path for path in _unknown(spec, known) if find(spec, path) != {}]
    return Translated(_policy(values, detects), tuple(f"spec.{path}" for path in lost))


def write_cluster(policy: Policy, name: str) -> Translated:
    """Return the Envoy cluster that protects as a ``trafficPolicy`` does, without endpoints."""
    parts = ("tls", "tunnel", "proxyProtocol", "portLevelSettings")
    return Translated(envoy_cluster(policy, name), tuple(part for part in parts if policy.get(part) is not None))


def read_cluster(document: Policy) -> Translated:
    """Return the ``trafficPolicy`` that protects as an Envoy cluster (v3) does.

    Raises:
        InvalidValueError: it is something else, or has a value that no rule can have.
    """
    if not isinstance(document.get("name"), str):
        raise InvalidValueError("name of a cluster", document.get("name"), "text")
    http = mapping(mapping(document.get(_OPTIONS, {}), _OPTIONS).get(HTTP_OPTIONS, {}), HTTP_OPTIONS)
    flat = _flat(document, http)
    values: dict[str, float | None] = {}
    known = {f"outlier_detection.enforcing_{origin}success_rate" for origin in ("", "local_origin_")}
    for field in _with("envoy"):
        parent = field.envoy.removesuffix(".value")
        absent = 0 if parent != field.envoy and find(flat, parent) is not None else field.absent_envoy  # a dump's {}
        values[field.name] = _read(field, find(flat, field.envoy), absent)
        known.add(field.envoy)
        if field.enforcing:
            unsaid = 0 if field.name == "consecutive_gateway_errors" else 100  # percent that Envoy enforces
            enforced = find(flat, field.enforcing)
            if (unsaid if enforced is None else enforced) == 0:
                values[field.name] = 0
            known |= {field.enforcing} if enforced in (None, 0, 100) else set()
    if find(http, "explicit_http_config.http2_protocol_options") is not None:
        values["h2_upgrade_policy"] = RULES["h2_upgrade_policy"].choices.index("UPGRADE")
    values["use_client_protocol"] = float("use_downstream_protocol_config" in http)
    names = {theirs: ours for ours, theirs in _ENVOY_BALANCERS.items()}
    kind = document.get("lb_policy", "ROUND_ROBIN")
    if kind in names:
        values["load_balancer"] = RULES["load_balancer"].choices.index(names[kind])
        known.add("lb_policy")
    lost = [path for path in _unknown(flat, known) if find(flat, path) not in ({}, [], None)]
    return Translated(_policy(values, "outlier_detection" in document), tuple(lost))


def _flat(cluster: Policy, http: Policy) -> dict[str, Any]:
    """Return what protects in a cluster, with the parts where :data:`meshgym.fields.RULES` has them."""
    breakers = mapping(cluster.get("circuit_breakers", {}), "circuit_breakers")
    thresholds = breakers.get("thresholds", [])
    default = [one for one in thresholds if one.get("priority", "DEFAULT") == "DEFAULT"]
    more = {key: value for key, value in breakers.items() if key != "thresholds"}
    others = {key: value for key, value in http.items() if key not in _HTTP}
    return {
        **{key: value for key, value in cluster.items() if key not in (_OPTIONS, *_IDENTITY)},
        _OPTIONS: others,
        "circuit_breakers": {
            **{key: value for key, value in (default or [{}])[0].items() if key != "priority"},
            **more,
        },
        "thresholds of another priority": [one for one in thresholds if one not in default],
        "common_http_protocol_options": http.get("common_http_protocol_options", {}),
        "http2_protocol_options": find(http, "explicit_http_config.http2_protocol_options") or {},
    }


def _with(tongue: str) -> list[Field]:
    return [field for field in RULES.values() if getattr(field, tongue)]


def _in_force(policy: Policy) -> Iterator[tuple[Field, float]]:
    """Yield each field and its value in force; an outlier detection's only if there is one."""
    values = traffic_rules(policy).to_dict()
    idle, tcp = RULES["idle_timeout_s"], given(RULES["tcp_idle_timeout_s"], policy)
    if given(idle, policy) is None and tcp:
        values[idle.name] = tcp
    for name, value in values.items():
        field = RULES[name]
        apart = field.name == "min_health_percent"  # istiod sets the panic threshold anyway
        if apart or policy.get("outlierDetection") is not None or not field.destination_rule.startswith("outlier"):
            yield field, value


def _read(field: Field, value: Any, absent: float | None) -> float | None:
    """Return a value of another tongue in the field's unit; what is above an int32 is no limit."""
    if value is None:
        return absent
    if isinstance(value, Mapping):
        value = value.get("value", 0)
    number = seconds(value, field.name) if field.kind == "seconds" and isinstance(value, str) else float(value)
    return min(number, field.high) if field.kind == "whole" and number <= UINT32_MAX else number


def _policy(values: Mapping[str, float | None], detects: bool) -> dict[str, Any]:
    """Return the ``trafficPolicy`` of values, without those that hold in their absence."""
    kept: dict[str, float] = {}
    for name, value in values.items():
        field = RULES[name]
        outlier = field.destination_rule.startswith("outlierDetection")
        usual = value == field.absent and field.absent_section == field.absent_section  # NaN: it makes its section
        if value is not None and not usual and (detects or not outlier):
            kept[name] = value
    if not kept.get("split_external_local_origin_errors"):
        kept.pop("consecutive_local_origin_failures", None)  # of no effect
    policy = traffic_policy(TrafficRules(**kept))
    return {**policy, "outlierDetection": policy.get("outlierDetection", {})} if detects else policy


def _unknown(document: Policy, known: set[str]) -> list[str]:
    return [path for path in paths(document) if not any(path == one or path.startswith(f"{one}.") for one in known)]


def _gateway_value(field: Field, value: float) -> Any:
    if field.kind == "seconds":
        return _gateway_duration(value)
    if field.kind == "flag":
        return bool(value)
    return UINT32_MAX if value == INT32_MAX == field.absent else int(value)


def _gateway_duration(seconds: float) -> str:
    """Return a duration as the Gateway API has it (GEP-2257): whole hours, minutes, seconds and milliseconds."""
    left, text = round(seconds * 1000), "" if seconds else "0s"
    for unit, milliseconds in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, milliseconds)
        text += f"{count}{unit}" if count else ""
    if left or not re.fullmatch(r"([0-9]{1,5}(h|m|s|ms)){1,4}", text):
        raise InvalidValueError("duration", duration(seconds), "at most 99999h, the longest of the Gateway API")
    return text


def read_any(path: str | Path, istio: str = ISTIO) -> Manifest:
    """Read DestinationRules, or one BackendTrafficPolicy or Envoy cluster as a DestinationRule.

    Raises:
        FileError: it can't be read, or holds something else.
        InvalidValueError: a value that Istio refuses, with its path.
        UnknownNameError: a field that a DestinationRule doesn't have.
    """
    from meshgym.rules.yaml_text import read_documents  # needs pyyaml

    safely = partial(reading, path, "a rule file", FileError, _REMEDY)
    with safely():
        text = read_text(path)
    documents = read_documents(text)
    first = documents[0] if documents else None
    if not isinstance(first, dict) or first.get("kind", "") not in ("", "BackendTrafficPolicy"):
        return manifest_of(documents, istio)
    with safely():
        source = read_gateway(first) if "kind" in first else read_cluster(first)
        about = mapping(first.get("metadata") or {"name": first.get("name")}, "metadata")
        name = re.sub(r"[^a-z0-9.-]+", "-", str(about.get("name")).lower()).strip("-.") or "translated"
        namespace = str(about.get("namespace") or "default")
        check_names(name, namespace, name)
    spec = {"host": name} | ({"trafficPolicy": source.document} if source.document else {})
    return Manifest((DestinationRule(name, namespace, spec),), (), source.lost)


def translate(chosen: Chosen, tongue: str, name: str, namespace: str) -> Translated:
    """Return a policy in a tongue.

    Args:
        chosen: the policy.
        tongue: ``"istio"``, ``"gateway"`` or ``"envoy"``.
        name, namespace: of the object that is returned.

    Raises:
        InvalidValueError: a name that Kubernetes doesn't allow.
    """
    check_names(name, namespace, chosen.rule.host)
    if tongue == "istio":
        spec = {"host": chosen.rule.host, "trafficPolicy": chosen.policy}
        return Translated(DestinationRule(name, namespace, spec).to_document(), ())
    return write_gateway(chosen.policy, name, namespace) if tongue == "gateway" else write_cluster(chosen.policy, name)

"""What Kubernetes and istiod allow in a DestinationRule: fields, types, ranges, and what must not stand together.

The fields that can be varied come from :data:`meshgym.fields.RULES`. The others are named here, because they are known
and not refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshgym.errors import InvalidValueError
from meshgym.fields import OF_DESTINATION_RULE, Field
from meshgym.rules import checks
from meshgym.rules.checks import Check, mapping
from meshgym.rules.policy import find, tree

Spec = Mapping[str, Any]

#: The Istio that is meant if nobody says which.
ISTIO = "1.31"


def check_spec(spec: object, istio: str = ISTIO) -> dict[str, Any]:
    """Check the ``spec`` of a DestinationRule as Kubernetes and istiod do; return it without nulls.

    Args:
        spec: what was read.
        istio: the release that it's for, such as ``"1.30"``.

    Raises:
        InvalidValueError: what they refuse, with its path and the reason.
        UnknownNameError: a field that a DestinationRule doesn't have; the message says where it belongs, if anywhere.
    """
    whole: dict[str, Any] = without_nulls(mapping(spec, "spec"))
    checks.check_value(whole, _SPEC, "spec")
    _check_spec_fields(whole)
    for path, policy in policies(whole):
        _check_fields(policy, path, istio)
    return whole


def check_policy(policy: Spec, istio: str = ISTIO) -> dict[str, Any]:
    """Check a ``trafficPolicy`` by itself; see :func:`check_spec`."""
    checked: dict[str, Any] = check_spec({"host": "any", "trafficPolicy": policy}, istio)["trafficPolicy"]
    return checked


def check_since(path: str, value: object, since: str, istio: str) -> None:
    """Check that an Istio has a field.

    Raises:
        InvalidValueError: it is older.
    """
    if release(since) > release(istio):
        raise InvalidValueError(path, value, f"nothing: this Istio doesn't have it (it is there since {since})")


def policies(spec: Spec) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each ``trafficPolicy`` of a spec, those of subsets and ports too, with its path."""
    subsets = enumerate(spec.get("subsets", ()))
    holders = [("spec", spec), *((f"spec.subsets[{number}]", subset) for number, subset in subsets)]
    for path, holder in holders:
        if "trafficPolicy" in holder:
            policy = holder["trafficPolicy"]
            yield f"{path}.trafficPolicy", policy
            for number, own in enumerate(policy.get("portLevelSettings", ())):
                yield f"{path}.trafficPolicy.portLevelSettings[{number}]", own


def check_names(name: str, namespace: str, host: str) -> None:
    """Check the names of a DestinationRule.

    Raises:
        InvalidValueError: a name that Kubernetes or Istio doesn't allow.
    """
    check_name(name, namespace)
    _HOST("spec.host", host)


def check_name(name: object, namespace: object) -> None:
    """Check the names in an object's metadata; see :func:`check_names`."""
    _NAME("metadata.name", name)
    _NAMESPACE("metadata.namespace", namespace)


def without_nulls(value: Any) -> Any:
    """Return nested values without the keys that are null: they count as absent."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _of(field: Field) -> Check:
    """Make the check of a field in a manifest, where a number may also be 0."""

    def check(path: str, value: object) -> None:
        match field.kind:
            case "seconds":
                checks.duration(field.low)(path, value)
            case "flag":
                checks.flag(path, value)
            case "choice":
                checks.one_of(*field.choices)(path, value)
            case "number":
                checks.number(field.low, field.high)(path, value)
            case _:
                checks.whole(field.high)(path, value)

    return check


_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST_LABEL = "[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_NAME = checks.matching(rf"{_LABEL}(\.{_LABEL})*", "lower-case letters, digits, '-' and '.'")
_NAMESPACE = checks.matching(_LABEL, "at most 63 lower-case letters, digits and '-'")
_NAMED_HOST = checks.matching(
    rf"\*|(\*\.)?{_HOST_LABEL}(\.{_HOST_LABEL})*\.?", "the name of a service, such as shop.default.svc.cluster.local"
)


def _HOST(path: str, value: object) -> None:  # noqa: N802 (a check, as _NAME)
    _NAMED_HOST(path, value)
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return
    raise InvalidValueError(path, value, "the name of a service, no IP address", "Make a ServiceEntry for it.")


#: Known fields that can't be varied. What they mean for a measurement is in :data:`meshgym.explain`.
_OTHERS: dict[str, Any] = {
    "connectionPool": {"http": {"http2KeepAlive": checks.map_of(checks.duration(0.001))}},
    "outlierDetection": {"outlierDetectionHttpErrorCodes": checks.list_of(checks.whole(599, 100))},
    "loadBalancer": {
        "warmupDurationSecs": checks.duration(0.001),
        "consistentHash": {
            "httpHeaderName": checks.text,
            "httpQueryParameterName": checks.text,
            "useSourceIp": checks.flag,
            "httpCookie": {
                "name": checks.text,
                "path": checks.text,
                "ttl": checks.duration(0),
                "attributes": checks.list_of(checks.map_of(checks.text)),
            },
            "ringHash": {"minimumRingSize": checks.whole(2**53)},
            "maglev": {"tableSize": checks.whole(5_000_010)},
            "minimumRingSize": checks.whole(2**53),
        },
        "localityLbSetting": {
            "enabled": checks.flag,
            "distribute": checks.list_of({"from": checks.text, "to": checks.map_of(checks.whole(100))}),
            "failover": checks.list_of({"from": checks.text, "to": checks.text}),
            "failoverPriority": checks.list_of(checks.text),
        },
    },
    "tls": {
        "mode": checks.one_of("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"),
        **dict.fromkeys(
            ("clientCertificate", "privateKey", "caCertificates", "credentialName", "sni", "caCrl"), checks.text
        ),
        "subjectAltNames": checks.list_of(checks.text),
        "insecureSkipVerify": checks.flag,
    },
}


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: _joined(one[key], other[key]) for key in one.keys() & other.keys()}
    return {**one, **other, **both}


_PARTS = _joined(tree({field.destination_rule: _of(field) for field in OF_DESTINATION_RULE.values()}), _OTHERS)
_TRAFFIC_POLICY = {
    **_PARTS,
    "portLevelSettings": checks.list_of({"port": {"number": checks.whole(65535, 1)}, **_PARTS}),
    "tunnel": {
        "protocol": checks.one_of("CONNECT", "POST"),
        "targetHost": checks.text,
        "targetPort": checks.whole(65535, 1),
    },
    "proxyProtocol": {"version": checks.one_of("V1", "V2")},
}
_SPEC = {
    "host": _HOST,
    "trafficPolicy": _TRAFFIC_POLICY,
    "subsets": checks.list_of(
        {"name": checks.text, "labels": checks.map_of(checks.text), "trafficPolicy": _TRAFFIC_POLICY}
    ),
    "exportTo": checks.list_of(checks.text),
    "workloadSelector": {"matchLabels": checks.map_of(checks.text)},
}


def _check_spec_fields(spec: Spec) -> None:
    """Check what must be there."""
    if "host" not in spec:
        _HOST("spec.host", None)
    names = [subset.get("name") for subset in spec.get("subsets", ())]
    for number, name in enumerate(names):
        if not name or name in names[:number]:
            raise InvalidValueError(f"spec.subsets[{number}].name", name, "a name that no other subset has")


def _check_fields(policy: Spec, path: str, istio: str) -> None:
    """Check what istiod's webhook checks across the fields of a policy."""
    parts = {"connectionPool", "outlierDetection", "loadBalancer", "tls", "retryBudget", "portLevelSettings"}
    if not (parts | {"tunnel", "proxyProtocol"}) & set(policy):
        raise InvalidValueError(path, dict(policy), "at least one part", "Leave it out, or fill it.")
    pool = policy.get("connectionPool")
    if pool is not None and not pool:
        raise InvalidValueError(f"{path}.connectionPool", pool, "tcp or http", "Leave it out, or fill it.")
    if path.endswith("]") and "portLevelSettings" in path and "number" not in policy.get("port", {}):
        raise InvalidValueError(f"{path}.port", policy.get("port"), "a port's number")
    for holds, field, allowed in _across(policy):
        if not holds:
            raise InvalidValueError(f"{path}.{field}", find(policy, field), allowed)
    for rule in OF_DESTINATION_RULE.values():
        value = find(policy, rule.destination_rule)
        if value is not None:
            check_since(f"{path}.{rule.destination_rule}", value, rule.since, istio)


def _across(policy: Spec) -> Iterator[tuple[bool, str, str]]:
    """Yield what must hold, the field that breaks it, and what that may be."""
    detection, balancer = policy.get("outlierDetection", {}), policy.get("loadBalancer", {})
    http, warmup = find(policy, "connectionPool.http") or {}, balancer.get("warmup")
    failures = "consecutiveLocalOriginFailures"
    apart = detection.get("splitExternalLocalOriginErrors") or not detection.get(failures)
    yield apart, f"outlierDetection.{failures}", "0 or absent, unless splitExternalLocalOriginErrors is true"
    upgraded = http.get("h2UpgradePolicy") == "UPGRADE" and http.get("useClientProtocol")
    yield not upgraded, "connectionPool.http.useClientProtocol", "not true where h2UpgradePolicy is UPGRADE"
    yield not {"simple", "consistentHash"} <= set(balancer), "loadBalancer", "simple or consistentHash, not both"
    yield warmup is None or "duration" in warmup, "loadBalancer.warmup", "a mapping with a duration"
    locality = {"distribute", "failover", "failoverPriority"} & set(balancer.get("localityLbSetting", {}))
    yield len(locality) < 2, "loadBalancer.localityLbSetting", "one of distribute, failover and failoverPriority"
    yield not {"tunnel", "proxyProtocol"} <= set(policy), "tunnel", "absent where there is a proxyProtocol"


def release(istio: str) -> tuple[int, ...]:
    """Return a release as numbers.

    Raises:
        InvalidValueError: it isn't one.
    """
    if not re.fullmatch(r"1\.\d{1,3}(\.\d{1,3})?", istio):
        raise InvalidValueError("Istio's release", istio, "such as 1.30")
    return tuple(int(number) for number in istio.split("."))[:2]

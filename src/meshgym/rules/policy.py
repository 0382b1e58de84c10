"""A DestinationRule's ``trafficPolicy`` as values of fields, and back.

Which fields there are, where they stand and what their absence means is in the table :data:`meshgym.fields.RULES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshgym.errors import InvalidValueError
from meshgym.fields import OF_DESTINATION_RULE, RULES, Field
from meshgym.types import TrafficRules

#: A ``trafficPolicy``, or another part of an object.
Policy = Mapping[str, Any]

#: A Go duration, as Kubernetes takes it: ``3m``, ``0.25s``, ``1m30s``.
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
#: Other words for LEAST_REQUEST in a DestinationRule.
_LEAST_REQUEST = ("LEAST_CONN", "UNSPECIFIED")
#: The parts that a port's settings replace, and those that a subset's policy replaces.
_OF_PORTS = ("connectionPool", "outlierDetection", "loadBalancer", "tls")
_OF_SUBSETS = (*_OF_PORTS, "retryBudget", "tunnel", "proxyProtocol")


def traffic_policy(rules: TrafficRules) -> dict[str, Any]:
    """Return the DestinationRule's ``spec.trafficPolicy`` that puts ``rules`` in force; without those of a route."""
    given = {name: value for name, value in rules.to_dict().items() if name in OF_DESTINATION_RULE}
    return tree({RULES[name].destination_rule: written(RULES[name], value) for name, value in given.items()})


def traffic_rules(policy: Policy, names: Iterable[str] = OF_DESTINATION_RULE) -> TrafficRules:
    """Return the values that are in force under a ``trafficPolicy``: for what was given, the inverse of
    :func:`traffic_policy`.

    A field that is absent (or 0, where istiod reads 0 as absent) gets the value that Envoy then works with: no limit
    (2147483647) in the connection pool; 5 errors, 10 s, 30 s and 10 % in an outlier detection. Without an outlier
    detection nothing is ejected.

    Args:
        policy: the ``trafficPolicy``.
        names: the fields to read.

    Raises:
        InvalidValueError: a value outside the field's range.
    """
    return TrafficRules(**{name: _in_force(RULES[name], policy) for name in names})


def given_rules(policy: Policy) -> TrafficRules:
    """Return the values that a ``trafficPolicy`` gives itself, without those that hold in their absence."""
    return TrafficRules(**{name: given(field, policy) for name, field in OF_DESTINATION_RULE.items()})


def _in_force(field: Field, policy: Policy) -> float | None:
    value = given(field, policy)
    if value is not None:
        return value
    section = field.destination_rule.partition(".")[0]
    absent = field.absent
    if policy.get(section) is None and field.absent_section is not None:
        absent = field.absent_section
    return None if absent is None or absent != absent else absent


def given(field: Field, policy: Policy) -> float | None:
    """Return a field's value in a ``trafficPolicy``; None if it is absent, null, or a 0 that istiod reads so.

    Raises:
        InvalidValueError: a value of another kind.
    """
    value = find(policy, field.destination_rule)
    if value is None or (value == 0 and field.whole and field.low > 0):
        return None
    if field.kind == "seconds":
        return seconds(value, field.destination_rule)
    try:
        if field.kind == "choice":
            return float(field.choices.index("LEAST_REQUEST" if value in _LEAST_REQUEST else value))
        return float(value)
    except (ValueError, TypeError):
        raise InvalidValueError(field.destination_rule, value, ", ".join(field.choices) or "a number") from None


def written(field: Field, value: float) -> Any:
    """Return a field's value as a DestinationRule has it: a duration, true or false, a word, or a number."""
    match field.kind:
        case "seconds":
            return duration(value)
        case "flag":
            return bool(value)
        case "choice":
            return field.choices[int(value)]
    return int(value) if value == int(value) else value


def policy_in_force(
    spec: Policy, subset: str | None = None, port: int | None = None, mesh_default: Policy | None = None
) -> dict[str, Any]:
    """Return the ``trafficPolicy`` that holds for a subset and a port (istiod's ``MergeTrafficPolicy``).

    A subset's parts replace those of the whole service. A port's settings replace connection pool, outlier detection,
    load balancer and TLS, even those that they leave out. A part that is missing then is the mesh's.

    Args:
        spec: of a DestinationRule.
        subset: its name; None for the whole service.
        port: its number; None for one without settings of its own.
        mesh_default: ``meshConfig.defaultTrafficPolicy``, from Istio 1.31.
    """
    merged: dict[str, Any] = {}
    subsets = (one.get("trafficPolicy") for one in spec.get("subsets") or () if one.get("name") == subset)
    for policy in (spec.get("trafficPolicy"), *(subsets if subset is not None else ())):
        merged |= {part: value for part, value in (policy or {}).items() if part in _OF_SUBSETS and value is not None}
        for own in (policy or {}).get("portLevelSettings") or ():
            if port is not None and own["port"]["number"] == port:
                merged = {part: value for part, value in merged.items() if part not in _OF_PORTS}
                merged |= {part: own[part] for part in _OF_PORTS if own.get(part) is not None}
    return {**(mesh_default or {}), **merged}


def find(tree: Policy, path: str) -> Any:
    """Return the value at ``path`` of nested mappings (keys joined by dots), None if there is none."""
    found: Any = tree
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def tree(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nest values by their paths (keys joined by dots); the inverse of :func:`find`."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        *parents, key = path.split(".")
        section = nested
        for parent in parents:
            section = section.setdefault(parent, {})
        section[key] = value
    return nested


def merge(target: Policy, patch: Policy) -> dict[str, Any]:
    """Merge ``patch`` into ``target``, as a JSON merge patch without null does (RFC 7386)."""
    merged = {
        name: merge(target.get(name) or {}, value) if isinstance(value, Mapping) else value
        for name, value in patch.items()
    }
    return {**target, **merged}


def paths(policy: Policy, above: str = "") -> list[str]:
    """Return the paths of all values in nested mappings; a list counts as a value."""
    found: list[str] = []
    for key, value in policy.items():
        path = f"{above}.{key}" if above else key
        found += paths(value, path) if isinstance(value, Mapping) and value else [path]
    return found


def duration(seconds: float) -> str:
    """Return a protobuf duration, to the millisecond: ``180s``, ``0.25s``."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def seconds(duration: object, name: str = "duration") -> float:
    """Return the seconds of a duration as DestinationRules have it: ``"3m"``, ``"0.25s"``.

    Args:
        duration: a string with units.
        name: what errors call it.

    Raises:
        InvalidValueError: anything else.
    """
    text = duration.removeprefix("+") if isinstance(duration, str) else ""
    sign = -1 if text.startswith("-") else 1
    text = text.removeprefix("-")
    if text == "0":
        return 0.0
    parts: Sequence[tuple[str, str]] = _DURATION.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise InvalidValueError(name, duration, "a string with units, such as '3m', '1s' or '250ms'")
    return sign * sum(float(number) * _UNIT_S[unit] for number, unit in parts)

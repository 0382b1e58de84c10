"""Translate traffic rules to a DestinationRule's ``trafficPolicy`` and to YAML for ``kubectl apply``, and back.

Which fields there are, where they stand and what their absence means is in the table :data:`meshgym.fields.RULES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.fields import RULES, Field
from meshgym.types import TrafficRules

#: A Go duration, as Kubernetes takes it: ``3m``, ``0.25s``, ``1m30s``.
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
#: The first is written; the older ones have the same fields and are read too.
_VERSIONS = tuple(f"networking.istio.io/{version}" for version in ("v1", "v1beta1", "v1alpha3"))
_KIND = "DestinationRule"
#: ``check(path, value)`` raises if the field at ``path`` may not have ``value``.
Check = Callable[[str, object], None]


def traffic_policy(rules: TrafficRules) -> dict[str, Any]:
    """Return the DestinationRule's ``spec.trafficPolicy`` that puts ``rules`` in force."""
    values = ((field, getattr(rules, name)) for name, field in RULES.items())
    return _tree({field: duration(value) if field.kind == "seconds" else value for field, value in values})


def traffic_rules(policy: Mapping[str, Any]) -> TrafficRules:
    """Return the rules that a ``trafficPolicy`` puts in force: the inverse of :func:`traffic_policy`.

    A field that is absent (or 0, where istiod reads 0 as absent) gets the value that Envoy then works with: no limit
    (2147483647) in the connection pool; 5 errors, 10 s, 30 s and 10 % in an outlier detection. Without an outlier
    detection nothing is ejected.

    Raises:
        InvalidValueError: a value that is no duration, or outside the range of :class:`TrafficRules`.
    """
    return TrafficRules(**{name: _value(field, policy) for name, field in RULES.items()})


def _value(field: Field, policy: Mapping[str, Any]) -> Any:
    section = field.destination_rule.partition(".")[0]
    if section not in policy and field.absent_section is not None:
        return field.absent_section
    value = find(policy, field.destination_rule)
    if value is None or (value == 0 and field.low > 0 and field.whole):
        return field.absent
    return seconds(value) if field.kind == "seconds" else value


def find(tree: Mapping[str, Any], path: str) -> Any:
    """Return the value at ``path`` of nested mappings (keys joined by dots), None if there is none."""
    found: Any = tree
    for key in path.split("."):
        found = found.get(key, {})
    return None if found == {} else found


def _tree(values: Mapping[Field, Any]) -> dict[str, Any]:
    """Nest values by the fields' paths in the ``trafficPolicy``."""
    tree: dict[str, Any] = {}
    for field, value in values.items():
        *parents, key = field.destination_rule.split(".")
        section = tree
        for parent in parents:
            section = section.setdefault(parent, {})
        section[key] = value
    return tree


def duration(seconds: float) -> str:
    """Return a protobuf duration, to the nanosecond: ``180s``, ``0.25s``."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def seconds(duration: object, name: str = "duration") -> float:
    """Return the seconds of a duration as DestinationRules have it: ``"3m"``, ``"0.25s"``.

    Args:
        duration: a string with units.
        name: what errors call it.

    Raises:
        InvalidValueError: anything else.
    """
    parts = _DURATION.findall(duration) if isinstance(duration, str) else []
    if not parts or "".join(map("".join, parts)) != duration:
        raise InvalidValueError(name, duration, "a string with units, such as '3m', '1s' or '250ms'")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


@dataclass(frozen=True)
class DestinationRule:
    """Traffic rules, the service they are for, and where they stand in a cluster.

    Attributes:
        name, namespace: of the resource, as Kubernetes allows them.
        host: the service, best by its full name; Istio looks for a short one in ``namespace``.
        rules: what it puts in force.

    Raises:
        InvalidValueError: a name that Kubernetes or Istio doesn't allow.
    """

    name: str
    namespace: str
    host: str
    rules: TrafficRules

    def __post_init__(self) -> None:
        check_names(self.name, self.namespace, self.host)

    def to_yaml(self) -> str:
        """Return the manifest, in ``networking.istio.io/v1``.

        Raises:
            MissingDependencyError: the package ``pyyaml`` isn't installed.
        """
        document = {
            "apiVersion": _VERSIONS[0],
            "kind": _KIND,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"host": self.host, "trafficPolicy": traffic_policy(self.rules)},
        }
        from meshgym.mesh.yaml_text import to_text  # needs pyyaml

        return to_text(document)

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read a manifest; see :func:`traffic_rules` for what it leaves out.

        The values are checked as Istio's CustomResourceDefinition does. Fields that :class:`TrafficRules` doesn't have
        aren't allowed: they would get lost, and they might change the response.

        Raises:
            InvalidValueError: no YAML, no DestinationRule, or a value that Istio doesn't allow, with its path.
            UnknownNameError: a field that :class:`TrafficRules` doesn't have.
            MissingDependencyError: the package ``pyyaml`` isn't installed.
        """
        document = _load(text)
        if document.get("apiVersion") not in _VERSIONS:
            raise InvalidValueError("apiVersion", document.get("apiVersion"), ", ".join(_VERSIONS))
        if document.get("kind") != _KIND:
            raise InvalidValueError("kind", document.get("kind"), _KIND)
        metadata, spec = (_mapping(document.get(name), name) for name in ("metadata", "spec"))
        policy_checks = _tree({field: _check_of(field) for field in RULES.values()})
        _check(spec, {"host": _HOST, "trafficPolicy": policy_checks}, "spec")
        rules = traffic_rules(spec.get("trafficPolicy", {}))
        return cls(metadata.get("name", ""), metadata.get("namespace", "default"), spec.get("host", ""), rules)


def check_names(name: str, namespace: str, host: str) -> None:
    """Check the names of a DestinationRule.

    Raises:
        InvalidValueError: a name that Kubernetes or Istio doesn't allow.
    """
    _NAME("metadata.name", name)
    _NAMESPACE("metadata.namespace", namespace)
    _HOST("spec.host", host)


def _load(text: str) -> dict[str, Any]:
    from meshgym.mesh.yaml_text import read_documents  # needs pyyaml

    documents = read_documents(text)
    if len(documents) != 1:
        raise InvalidValueError("number of documents in a manifest", len(documents), "exactly 1")
    return _mapping(documents[0], _KIND)


def _mapping(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValueError(path, value, "a mapping of fields to values")
    return value


def _check(value: object, allowed: Check | Mapping[str, Any], path: str) -> None:
    """Check a field, or each field of a mapping."""
    if callable(allowed):
        allowed(path, value)
        return
    for name, inner in _mapping(value, path).items():
        if name == "consecutiveErrors":
            remedy = "It is deprecated and does nothing; write consecutive5xxErrors."
            raise InvalidValueError(f"{path}.{name}", inner, "not this field", remedy)
        if name not in allowed:
            raise UnknownNameError(f"field of {path}", name, allowed)
        _check(inner, allowed[name], f"{path}.{name}")


def _check_of(field: Field) -> Check:
    """Make the check of a field: in a manifest a number may also be 0."""

    def check(path: str, value: object) -> None:
        if field.kind == "seconds":
            if seconds(value, path) < field.low:
                raise InvalidValueError(path, value, f"at least {duration(field.low)}")
        elif type(value) is not int or not 0 <= value <= field.high:
            raise InvalidValueError(path, value, field.allowed(low=0))

    return check


def _matching(pattern: str, allowed: str) -> Check:
    def check(path: str, value: object) -> None:
        if not isinstance(value, str) or len(value) > 253 or not re.fullmatch(pattern, value):
            raise InvalidValueError(path, value, allowed)

    return check


_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME = _matching(rf"{_LABEL}(\.{_LABEL})*", "lower-case letters, digits, '-' and '.'")
_NAMESPACE = _matching(_LABEL, "at most 63 lower-case letters, digits and '-'")
_HOST = _matching(rf"\*|(\*\.)?{_LABEL}(\.{_LABEL})*", "the name of a service, such as shop.default.svc.cluster.local")

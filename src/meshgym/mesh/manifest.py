"""DestinationRules as YAML for ``kubectl apply``: written, and checked when they are read.

The checks are those of Istio's CustomResourceDefinition for the fields that :class:`TrafficRules` has. Any other
field is refused: what is not read would be lost, and what is not simulated might change the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from meshgym.errors import InvalidValueError, MissingDependencyError, UnknownNameError
from meshgym.fields import INT32_MAX
from meshgym.mesh.destination_rule import seconds, traffic_policy, traffic_rules
from meshgym.types import TrafficRules

try:
    import yaml
except ImportError as error:
    raise MissingDependencyError("pyyaml", "a DestinationRule as YAML", "agents") from error

#: Written is the first; the older ones have the same fields.
_VERSIONS = tuple(f"networking.istio.io/{version}" for version in ("v1", "v1beta1", "v1alpha3"))
_KIND = "DestinationRule"
#: ``check(path, value)`` raises where the field at ``path`` may not have ``value``.
Check = Callable[[str, object], None]


@dataclass(frozen=True)
class DestinationRule:
    """Traffic rules, the service they are for, and where they lie in a cluster.

    Attributes:
        name, namespace: of the resource, as Kubernetes allows them.
        host: the service, best by its full name; a short one is looked for in ``namespace``.
        rules: what is put in force.

    Raises:
        InvalidValueError: a name that is none.
    """

    name: str
    namespace: str
    host: str
    rules: TrafficRules

    def __post_init__(self) -> None:
        check_names(self.name, self.namespace, self.host)

    def to_yaml(self) -> str:
        """The manifest, in ``networking.istio.io/v1``."""
        document = {
            "apiVersion": _VERSIONS[0],
            "kind": _KIND,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"host": self.host, "trafficPolicy": traffic_policy(self.rules)},
        }
        text: str = yaml.safe_dump(document, sort_keys=False)
        return text

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """From a manifest; what it leaves out is what Envoy then does (see ``traffic_rules``).

        Raises:
            InvalidValueError: no YAML, no DestinationRule, or a value that Istio refuses, with the field's path.
            UnknownNameError: a field that :class:`TrafficRules` does not have.
        """
        document = _load(text)
        if document.get("apiVersion") not in _VERSIONS:
            raise InvalidValueError("apiVersion", document.get("apiVersion"), ", ".join(_VERSIONS))
        if document.get("kind") != _KIND:
            raise InvalidValueError("kind", document.get("kind"), _KIND)
        metadata, spec = (_mapping(document.get(name), name) for name in ("metadata", "spec"))
        _check(spec, {"host": _HOST, "trafficPolicy": _POLICY}, "spec")
        rules = traffic_rules(spec.get("trafficPolicy", {}))
        return cls(metadata.get("name", ""), metadata.get("namespace", "default"), spec.get("host", ""), rules)


def check_names(name: str, namespace: str, host: str) -> None:
    """Check where a DestinationRule is to lie.

    Raises:
        InvalidValueError: a name that Kubernetes or Istio refuses.
    """
    _NAME("metadata.name", name)
    _NAMESPACE("metadata.namespace", namespace)
    _HOST("spec.host", host)


def _load(text: str) -> dict[str, Any]:
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidValueError(_KIND, " ".join(str(error).split()), "YAML") from None
    if len(documents) != 1:
        raise InvalidValueError(f"number of documents beside a {_KIND}", len(documents), "exactly 1")
    return _mapping(documents[0], _KIND)


def _mapping(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValueError(path, value, "a mapping of fields to values")
    return value


def _check(value: object, allowed: Check | Mapping[str, Any], path: str) -> None:
    """Check a field, or those of a mapping against what each of them allows."""
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


def _whole(highest: int) -> Check:
    def check(path: str, value: object) -> None:
        if type(value) is not int or not 0 <= value <= highest:
            raise InvalidValueError(path, value, f"a whole number 0..{highest}")

    return check


def _matching(pattern: str, allowed: str) -> Check:
    def check(path: str, value: object) -> None:
        if not isinstance(value, str) or len(value) > 253 or not re.fullmatch(pattern, value):
            raise InvalidValueError(path, value, allowed)

    return check


def _duration(path: str, value: object) -> None:
    if seconds(value, path) < 0.001:
        raise InvalidValueError(path, value, "at least 1ms")


_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME = _matching(rf"{_LABEL}(\.{_LABEL})*", "lower-case letters, digits, '-' and '.'")
_NAMESPACE = _matching(_LABEL, "at most 63 lower-case letters, digits and '-'")
_HOST = _matching(rf"\*|(\*\.)?{_LABEL}(\.{_LABEL})*", "the name of a service, such as shop.default.svc.cluster.local")
#: The fields of ``spec.trafficPolicy`` that are read.
_POLICY = {
    "connectionPool": {
        "tcp": {"maxConnections": _whole(INT32_MAX)},
        "http": {"http1MaxPendingRequests": _whole(INT32_MAX), "maxRequestsPerConnection": _whole(INT32_MAX)},
    },
    "outlierDetection": {
        "consecutive5xxErrors": _whole(INT32_MAX),
        "interval": _duration,
        "baseEjectionTime": _duration,
        "maxEjectionPercent": _whole(100),
    },
}

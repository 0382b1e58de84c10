"""DestinationRules in files: read as Kubernetes and istiod read them, one chosen, and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from meshgym.errors import FileError, InvalidValueError, UnknownNameError
from meshgym.files import read_text, reading
from meshgym.rules.checks import mapping
from meshgym.rules.policy import given_rules, merge, policy_in_force, traffic_policy
from meshgym.rules.schema import ISTIO, check_name, check_names, check_policy, check_since, check_spec
from meshgym.types import TrafficRules

#: The first is written; the older ones have the same fields and are read too.
VERSIONS = tuple(f"networking.istio.io/{version}" for version in ("v1", "v1beta1", "v1alpha3"))
KIND = "DestinationRule"
_REMEDY = "Give a file with a DestinationRule."


@dataclass(frozen=True)
class DestinationRule:
    """What an object of a cluster says about a service.

    Attributes:
        name: of the object; empty if a file gives none.
        namespace: of the object.
        spec: all it says, without nulls; see :func:`meshgym.rules.schema.check_spec`.
    """

    name: str
    namespace: str
    spec: Mapping[str, Any]

    @classmethod
    def of(
        cls, name: str, namespace: str, host: str, rules: TrafficRules, base: Mapping[str, Any] | None = None
    ) -> Self:
        """Make one that puts ``rules`` in force.

        Args:
            name, namespace: of the object, as Kubernetes allows them.
            host: the service, best by its full name; Istio looks for a short one in ``namespace``.
            rules: the values.
            base: a ``trafficPolicy`` that holds for all other fields.

        Raises:
            InvalidValueError: a name that Kubernetes or Istio doesn't allow.
        """
        check_names(name, namespace, host)
        policy = merge(base or {}, traffic_policy(rules))
        return cls(name, namespace, {"host": host, **({"trafficPolicy": policy} if policy else {})})

    @property
    def host(self) -> str:
        """The service."""
        return str(self.spec["host"])

    @property
    def rules(self) -> TrafficRules:
        """The values that the ``trafficPolicy`` of the whole service gives."""
        return given_rules(self.spec.get("trafficPolicy", {}))

    @property
    def title(self) -> str:
        """Namespace and name, for messages."""
        return f"{self.namespace}/{self.name or '(no name)'}"

    def to_yaml(self) -> str:
        """Return the manifest, in ``networking.istio.io/v1``.

        Raises:
            InvalidValueError: no name.
            MissingDependencyError: the package ``pyyaml`` isn't installed.
        """
        from meshgym.rules.yaml_text import to_text  # needs pyyaml

        return to_text(self.to_document())

    def to_document(self) -> dict[str, Any]:
        """Return the manifest as nested values; see :meth:`to_yaml`."""
        check_name(self.name, self.namespace)
        metadata = {"name": self.name, "namespace": self.namespace}
        return {"apiVersion": VERSIONS[0], "kind": KIND, "metadata": metadata, "spec": self.spec}

    @classmethod
    def from_yaml(cls, text: str, istio: str = ISTIO) -> Self:
        """Read a manifest with one DestinationRule; see :func:`read_manifest`."""
        found = read_manifest(text, istio).rules
        if len(found) != 1:
            raise InvalidValueError("number of DestinationRules in a manifest", len(found), "exactly 1")
        rule = found[0]
        return cls(rule.name, rule.namespace, rule.spec)


@dataclass(frozen=True)
class Manifest:
    """The contents of a file.

    Attributes:
        rules: its DestinationRules, in their order.
        others: its other objects.
        lost: what a file in another tongue says that a DestinationRule can't.
    """

    rules: tuple[DestinationRule, ...]
    others: tuple[Mapping[str, Any], ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """One of a manifest's policies.

    Attributes:
        rule: where it stands.
        subset: which of the rule's subsets it is for; None for the whole service.
        port: which port it is for; None for any without settings of its own.
        said: what was taken although nobody chose it, in sentences.
        mesh_default: the mesh's ``defaultTrafficPolicy``, which holds for parts that the rule leaves out.
    """

    rule: DestinationRule
    subset: str | None = None
    port: int | None = None
    said: tuple[str, ...] = ()
    mesh_default: Mapping[str, Any] = field(default_factory=dict)

    @property
    def policy(self) -> dict[str, Any]:
        """The ``trafficPolicy`` in force; see :func:`meshgym.rules.policy.policy_in_force`."""
        return policy_in_force(self.rule.spec, self.subset, self.port, self.mesh_default)


def read_file(path: str | Path, istio: str = ISTIO) -> Manifest:
    """Read a file; see :func:`read_manifest`.

    Raises:
        FileError: it can't be read.
    """
    with reading(path, "a DestinationRule", FileError, _REMEDY):
        text = read_text(path)
    return read_manifest(text, istio)


def read_mesh_default(path: str | Path, istio: str = ISTIO) -> dict[str, Any]:
    """Return the ``defaultTrafficPolicy`` of a mesh's configuration, as ``istioctl`` and the ConfigMap have it.

    Raises:
        FileError: it can't be read.
        InvalidValueError: it has none, or one that istiod refuses, or this Istio doesn't know it.
    """
    from meshgym.rules.yaml_text import read_documents  # needs pyyaml

    with reading(path, "a mesh configuration", FileError, "Give the file of a meshConfig."):
        text = read_text(path)
    whole = mapping(next(iter(read_documents(text)), None), "the mesh configuration")
    whole = mapping(whole.get("meshConfig", whole), "meshConfig")
    if "defaultTrafficPolicy" not in whole:
        raise InvalidValueError("keys of the mesh configuration", sorted(whole), "defaultTrafficPolicy among them")
    check_since("defaultTrafficPolicy", whole["defaultTrafficPolicy"], "1.31", istio)
    return check_policy(mapping(whole["defaultTrafficPolicy"], "defaultTrafficPolicy"), istio)


def read_manifest(text: str, istio: str = ISTIO) -> Manifest:
    """Read YAML documents, a ``List``, or JSON; the values are checked as Kubernetes and istiod check them.

    Args:
        text: what a file holds.
        istio: the release that it's for.

    Raises:
        InvalidValueError: no YAML, an object without a kind, or a value that Istio refuses, with its path.
        UnknownNameError: a field that a DestinationRule doesn't have.
        MissingDependencyError: the package ``pyyaml`` isn't installed.
    """
    from meshgym.rules.yaml_text import read_documents  # needs pyyaml

    return manifest_of(read_documents(text), istio)  # JSON is YAML


def manifest_of(documents: Sequence[object], istio: str = ISTIO) -> Manifest:
    """Return the objects in the documents of a file; see :func:`read_manifest`."""
    objects = [one for document in documents for one in _items(document)]
    rules = tuple(_rule(one, istio) for one in objects if one.get("kind") == KIND)
    return Manifest(rules, tuple(one for one in objects if one.get("kind") != KIND))


def _items(document: object) -> Iterator[dict[str, Any]]:
    """Yield the objects of a document, those of a List one by one."""
    whole = mapping(document, "a document of the manifest")
    kind = whole.get("kind")
    if not isinstance(kind, str) or not kind:
        raise InvalidValueError("kind", kind, KIND, _REMEDY)
    if kind not in ("List", f"{KIND}List"):
        yield whole
        return
    items = whole.get("items")
    if not isinstance(items, list):
        raise InvalidValueError("items", items, "a list of objects")
    for item in items:
        yield from _items(item)


def _rule(document: Mapping[str, Any], istio: str) -> DestinationRule:
    if document.get("apiVersion") not in VERSIONS:
        raise InvalidValueError("apiVersion", document.get("apiVersion"), ", ".join(VERSIONS))
    for key in document:
        if key not in ("apiVersion", "kind", "metadata", "spec", "status"):
            raise UnknownNameError(f"field of a {KIND}", key, ("apiVersion", "kind", "metadata", "spec"))
    metadata = document.get("metadata")
    metadata = mapping({} if metadata is None else metadata, "metadata")
    name, namespace = metadata.get("name"), metadata.get("namespace", "default")
    check_name(name if name is not None else "unnamed", namespace)
    return DestinationRule(name or "", namespace, check_spec(document.get("spec"), istio))


def choose(manifest: Manifest, host: str | None = None, subset: str | None = None, port: int | None = None) -> Chosen:
    """Choose the policy that is meant; where only one is possible, take it and say so.

    Args:
        manifest: what a file holds.
        host: the rule's host, as it is written there, or its first label.
        subset: a subset's name; None for the whole service.
        port: a port's number; None for one without settings of its own.

    Raises:
        InvalidValueError: no rule, none for this host, or several.
        UnknownNameError: no such subset, or no settings for such a port.
    """
    if not manifest.rules:
        kinds = sorted({str(one["kind"]) for one in manifest.others})
        raise InvalidValueError("kinds of objects", kinds, KIND, _REMEDY)
    meant = [rule for rule in manifest.rules if host in (None, rule.host, rule.host.partition(".")[0])]
    if len(meant) != 1:
        hosts = sorted({rule.host for rule in manifest.rules})
        raise InvalidValueError("host", host, f"one of {', '.join(hosts)}", "Choose one with --host.")
    (rule,) = meant
    said = [f"took {rule.title} for {rule.host}"] if host is None and manifest.others else []
    named = {one["name"]: one for one in rule.spec.get("subsets", ())}
    if subset is None and "trafficPolicy" not in rule.spec:
        limited = [name for name, one in named.items() if "trafficPolicy" in one]
        if len(limited) == 1:
            subset = limited[0]
            said.append(f"took subset {subset}, because the rule limits nothing else")
    if subset is not None and subset not in named:
        raise UnknownNameError("subset", subset, named)
    ports = _ports(rule.spec, subset)
    if port is not None and port not in ports:
        raise UnknownNameError("port with settings of its own", str(port), map(str, ports))
    whole = policy_in_force(rule.spec, subset)
    if port is None and len(ports) == 1 and not {"connectionPool", "outlierDetection"} & set(whole):
        port = ports[0]
        said.append(f"took port {port}, because the rule limits no other")
    return Chosen(rule, subset, port, tuple(said))


def _ports(spec: Mapping[str, Any], subset: str | None) -> Sequence[int]:
    """Return the ports with settings of their own."""
    holders = [spec, *(one for one in spec.get("subsets", ()) if one["name"] == subset)]
    policies = [holder.get("trafficPolicy", {}) for holder in holders]
    return sorted({own["port"]["number"] for policy in policies for own in policy.get("portLevelSettings", ())})

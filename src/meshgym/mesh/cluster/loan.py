"""A cluster's DestinationRule on loan: journaled, changed, and put back as it was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshgym.errors import (
    ClusterError,
    ConflictError,
    InvalidValueError,
    MeshError,
    RestoreError,
    RuleChangedError,
    RulesRefusedError,
)
from meshgym.mesh.cluster.api import GROUP, VERSION, Cluster
from meshgym.mesh.cluster.journal import Entry, Journal

_ATTEMPTS = 3

#: An object of the cluster, its ``spec``, or None where there is none.
Object = dict[str, Any]


class BorrowedRule:
    """The rule of a cluster, to be changed as often as need be and given back.

    Each change is announced in the journal first, and made only to what was last written here: what somebody else
    did meanwhile is never overwritten.

    Args:
        cluster: names the rule.
        journal: open.
        entry: what was found, and what may have been written since.
        host: the service the rule is for.

    Attributes:
        found: the rule before the loan; None where there was none.
        host: the service the rule is for.
    """

    def __init__(self, cluster: Cluster, journal: Journal, entry: Entry, host: str) -> None:
        self._cluster, self._journal, self._entry = cluster, journal, entry
        self.found = self._now = entry.found
        self.host = host

    def change(self, policy: Object) -> Object:
        """Merge ``policy`` into the rule's ``trafficPolicy``; returns the whole ``trafficPolicy`` it then has.

        Raises:
            FolderError: the journal cannot be written; nothing was changed.
            RuleChangedError: somebody else changed the rule.
            RulesRefusedError: the cluster does not take it.
            ClusterError: no answer.
        """
        spec = merge(self.found["spec"] if self.found else {"host": self.host}, {"trafficPolicy": policy})
        self._announce(spec)
        self._send(
            lambda now: self._cluster.patch({"trafficPolicy": policy}, _version(now)) if now else self._new(spec)
        )
        if _spec(self._now) != spec:
            self._announce(_spec(self._now))
            raise RulesRefusedError(f"{self._cluster} was sent {spec} and keeps {_spec(self._now)}")
        whole: Object = spec["trafficPolicy"]
        return whole

    def give_back(self) -> None:
        """Put back what was found, or remove what was made; then the journal is empty.

        Raises:
            RuleChangedError: somebody else changed the rule; it is left as it is now, and the journal is kept.
            RestoreError: it cannot be put back now; the journal is kept.
        """
        if not self._entry.written:
            return
        found = _spec(self.found)
        self._entry.written.append(found)
        try:
            self._now = self._look()
            if _spec(self._now) != found:
                self._send(
                    lambda now: self._cluster.replace({**now, "spec": found}) if found and now else self._remove(now)
                )
            if _spec(self._now) != found:
                raise ClusterError(f"the cluster keeps {_spec(self._now)}")
            self._journal.remove()
        except (MeshError, OSError) as error:
            raise RestoreError(
                f"{self._cluster} is not put back: {error}; do so later with: "
                f"meshgym doctor --restore {self._journal.path}"
            ) from error
        self._entry.written.clear()

    def _announce(self, spec: Object | None) -> None:
        """Write down that the rule may have ``spec`` by our doing, besides what it has now."""
        before = self._entry.written or [_spec(self.found)]
        entry = dataclasses.replace(self._entry, written=[*before, spec])
        self._journal.write(entry)
        self._entry = entry

    def _send(self, change: Callable[[Object | None], Object | None]) -> None:
        """Change the rule; where it was only its version that moved on, look again and repeat."""
        for _ in range(_ATTEMPTS):
            try:
                self._now = change(self._now)
            except ConflictError:
                self._now = self._look()
            else:
                self._entry = dataclasses.replace(self._entry, written=[_spec(self._now)])
                return
        raise ClusterError(f"{self._cluster} has another version each time it is changed; is something writing to it?")

    def _look(self) -> Object | None:
        """The rule as it is now, if that is our doing."""
        now = self._cluster.read()
        if _spec(now) in self._entry.written:
            return now
        raise RuleChangedError(
            f"somebody else {'changed' if now else 'removed'} {self._cluster} while it was measured; it is left as it "
            f"is now. What it was before is kept as 'found' in {self._journal.path}: put right what should be, "
            "then remove that file"
        )

    def _new(self, spec: Object) -> Object:
        metadata = {"name": self._cluster.name, "namespace": self._cluster.namespace}
        rule = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "DestinationRule", "metadata": metadata, "spec": spec}
        return self._cluster.create(rule)

    def _remove(self, now: Object | None) -> None:
        if now:
            self._cluster.delete(_version(now))


def borrow(cluster: Cluster, journal: Journal, host: str | None = None) -> BorrowedRule:
    """Read the cluster's rule; nothing is changed yet.

    Args:
        cluster: names the rule.
        journal: open.
        host: the service, to make a rule where there is none.

    Raises:
        RestoreError: an earlier loan was not given back.
        InvalidValueError: there is no rule, and no host to make one for; the rule is for another host; or its
            limits are overridden further down.
        ClusterError: no answer.
    """
    if journal.read() is not None:
        raise RestoreError(
            f"{cluster} was changed by an earlier run and not put back; do so with: "
            f"meshgym doctor --restore {journal.path}"
        )
    found = cluster.read()
    if found is None and host is None:
        remedy = "Make one, or give the service's host (--new-rule-for): one is then made, and deleted at the end."
        raise InvalidValueError(str(cluster), None, "a rule that exists", remedy)
    spec: Object = found["spec"] if found else {"host": host}
    if host not in (None, spec["host"]):
        raise InvalidValueError("host", host, f"that of {cluster}: {spec['host']}")
    _refuse_overrides(spec, cluster)
    entry = Entry(cluster.server, cluster.context, cluster.namespace, cluster.name, found, written=[])
    return BorrowedRule(cluster, journal, entry, spec["host"])


def restore(path: Path) -> Cluster:
    """Put back what the journal at ``path`` says was found; returns what it was.

    Raises:
        RestoreError: there is no such journal, it is in use or another cluster's, or the rule cannot be put back.
        RuleChangedError: somebody else changed the rule.
        ClusterError: no cluster.
    """
    if not path.exists():
        raise RestoreError(f"there is no journal {path}; nothing is to be put back")
    with Journal(path) as journal:
        entry = journal.read()
        assert entry is not None
        cluster = Cluster(entry.namespace, entry.name, entry.context)
        if cluster.server != entry.server:
            raise RestoreError(f"{path} is of the cluster {entry.server}, but KUBECONFIG leads to {cluster.server}")
        BorrowedRule(cluster, journal, entry, host="").give_back()
        return cluster


def merge(target: Object, patch: Object) -> Object:
    """``patch`` merged into ``target``, as a JSON merge patch without null does (RFC 7386)."""
    merged = {
        name: merge(target.get(name) or {}, value) if isinstance(value, dict) else value
        for name, value in patch.items()
    }
    return {**target, **merged}


def _refuse_overrides(spec: Object, cluster: Cluster) -> None:
    """Limits of a port or a subset replace those of the whole rule, which are the ones that are measured."""
    limits = {"connectionPool", "outlierDetection", "portLevelSettings"}
    found = {"portLevelSettings"} & set(spec.get("trafficPolicy", {}))
    for subset in spec.get("subsets", []):
        found |= {f"subset {subset['name']}: {name}" for name in limits & set(subset.get("trafficPolicy", {}))}
    if found:
        allowed = "no limits of ports or subsets, for they would override the measured ones"
        raise InvalidValueError(str(cluster), sorted(found), allowed, "Measure under a rule without them.")


def _spec(rule: Object | None) -> Object | None:
    return rule and rule["spec"]


def _version(rule: Object) -> str:
    return str(rule["metadata"]["resourceVersion"])

"""Borrow a cluster's DestinationRule: journal it, change it, and put it back as it was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshgym.errors import (
    ClusterError,
    ConflictError,
    DestinationRuleChangedError,
    InvalidValueError,
    MeshError,
    RestoreError,
    RulesRefusedError,
)
from meshgym.mesh.cluster.api import GROUP, VERSION, Cluster
from meshgym.mesh.cluster.journal import Entry, Journal
from meshgym.rules.policy import merge

_ATTEMPTS = 3

#: An object of the cluster, or its ``spec``.
Object = dict[str, Any]


class BorrowedDestinationRule:
    """A cluster's DestinationRule, to be changed any number of times and given back.

    Each change is announced in the journal first, and made only to what was last written here. So a change that
    somebody else made in the meantime is never overwritten.

    Args:
        cluster: names the DestinationRule.
        journal: an open one.
        entry: what was found, and what may have been written since.
        host: the service that it is for.

    Attributes:
        found: the DestinationRule before the loan; None if there was none.
        host: the service that it is for.
    """

    def __init__(self, cluster: Cluster, journal: Journal, entry: Entry, host: str) -> None:
        self._cluster, self._journal, self._entry = cluster, journal, entry
        self.found = self._now = entry.found
        self.host = host

    def change(self, policy: Object) -> Object:
        """Merge ``policy`` into the ``trafficPolicy``; return the whole ``trafficPolicy`` that is in force then.

        Raises:
            FolderError: the journal can't be written; nothing was changed.
            DestinationRuleChangedError: somebody else changed it.
            RulesRefusedError: the cluster doesn't accept it.
            ClusterError: no response.
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
        """Put back what was found, or delete what was made; then remove the journal.

        Raises:
            DestinationRuleChangedError: somebody else changed it; it is left as it is now, and the journal is kept.
            RestoreError: it can't be put back now; the journal is kept.
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
        """Journal that it may have ``spec`` because of us, or what it has now."""
        before = self._entry.written or [_spec(self.found)]
        entry = dataclasses.replace(self._entry, written=[*before, spec])
        self._journal.write(entry)
        self._entry = entry

    def _send(self, change: Callable[[Object | None], Object | None]) -> None:
        """Change it; if only its version moved on, look again and repeat."""
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
        """Return it as it is now, if that is because of us."""
        now = self._cluster.read()
        if _spec(now) in self._entry.written:
            return now
        raise DestinationRuleChangedError(
            f"somebody else {'changed' if now else 'removed'} {self._cluster} while it was measured; it is left as it "
            f"is now. What it was before is kept as 'found' in {self._journal.path}: put right what should be, "
            "then remove that file"
        )

    def _new(self, spec: Object) -> Object:
        metadata = {"name": self._cluster.name, "namespace": self._cluster.namespace}
        kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "DestinationRule"}
        return self._cluster.create({**kind, "metadata": metadata, "spec": spec})

    def _remove(self, now: Object | None) -> None:
        if now:
            self._cluster.delete(_version(now))


def borrow(cluster: Cluster, journal: Journal, host: str | None = None) -> BorrowedDestinationRule:
    """Read the cluster's DestinationRule; change nothing yet.

    Args:
        cluster: names the DestinationRule.
        journal: an open one.
        host: the service, to make a DestinationRule if there is none.

    Raises:
        RestoreError: an earlier loan was not given back.
        InvalidValueError: there is none, and no host to make one for; it is for another host; or its limits are
            overridden further down.
        ClusterError: no response.
    """
    if journal.read() is not None:
        raise RestoreError(
            f"{cluster} was changed by an earlier run and not put back; do so with: "
            f"meshgym doctor --restore {journal.path}"
        )
    found = cluster.read()
    if found is None and host is None:
        remedy = "Make one, or give the service's host (--new-rule-for): one is then made, and deleted at the end."
        raise InvalidValueError(str(cluster), None, "a DestinationRule that exists", remedy)
    spec: Object = found["spec"] if found else {"host": host}
    if host not in (None, spec["host"]):
        raise InvalidValueError("host", host, f"that of {cluster}: {spec['host']}")
    _refuse_overrides(spec, cluster)
    entry = Entry(cluster.server, cluster.kube_context, cluster.namespace, cluster.name, found, written=[])
    return BorrowedDestinationRule(cluster, journal, entry, spec["host"])


def restore(path: Path) -> Cluster:
    """Put back what the journal at ``path`` says was found; return whose it was.

    Raises:
        RestoreError: there is no such journal, it is in use, it is another cluster's, or it can't be put back.
        DestinationRuleChangedError: somebody else changed the DestinationRule.
        ClusterError: no cluster.
    """
    if not path.exists():
        raise RestoreError(f"there is no journal {path}; there is nothing to put back")
    with Journal(path) as journal:
        entry = journal.read()
        assert entry is not None
        cluster = Cluster(entry.namespace, entry.name, entry.kube_context)
        if cluster.server != entry.server:
            raise RestoreError(f"{path} is of the cluster {entry.server}, but KUBECONFIG leads to {cluster.server}")
        BorrowedDestinationRule(cluster, journal, entry, host="").give_back()
        return cluster


def _refuse_overrides(spec: Object, cluster: Cluster) -> None:
    """Check that no port or subset has limits, which would replace those that are measured."""
    limits = {"connectionPool", "outlierDetection", "portLevelSettings"}
    found = {"portLevelSettings"} & set(spec.get("trafficPolicy", {}))
    for subset in spec.get("subsets", []):
        found |= {f"subset {subset['name']}: {name}" for name in limits & set(subset.get("trafficPolicy", {}))}
    if found:
        allowed = "no limits of ports or subsets, because they would override the measured ones"
        raise InvalidValueError(str(cluster), sorted(found), allowed, "Measure under a DestinationRule without them.")


def _spec(found: Object | None) -> Object | None:
    return found and found["spec"]


def _version(found: Object) -> str:
    return str(found["metadata"]["resourceVersion"])

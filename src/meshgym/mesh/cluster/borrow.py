"""Begin a loan of a cluster's DestinationRule, or take over one whose holder has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from meshgym.errors import InvalidValueError, RestoreError, clean
from meshgym.mesh.cluster.api import NAMED, Cluster
from meshgym.mesh.cluster.journal import Entry, Journal, journal_path, restore_command
from meshgym.mesh.cluster.loan import BorrowedDestinationRule
from meshgym.mesh.cluster.note import Note, note_in
from meshgym.mesh.shapes import Object

_LIMITS = ("connectionPool", "outlierDetection")


def read_unlent(cluster: Cluster, host: str | None) -> Object | None:
    """Return the cluster's DestinationRule as it usually is; None if there is none, but a host to make one for.

    Raises:
        RestoreError: it is on loan.
        InvalidValueError: there is none, and no host.
        ClusterError, AwayError: no response.
    """
    found = cluster.read()
    if note := note_in(found):
        remedy = f"wait for it, or if that has ended, give it back: {restore_command(cluster.named)}"
        raise RestoreError(f"{cluster} is {note}; {remedy}")
    if found is None and host is None:
        remedy = "Make one, or give the service's host (--new-rule-for): one is then made, and deleted at the end."
        raise InvalidValueError(str(cluster), None, "a DestinationRule that exists", remedy)
    return found


def borrow(cluster: Cluster, journal: Journal, port: int, host: str | None = None) -> BorrowedDestinationRule:
    """Read the cluster's DestinationRule; change nothing yet.

    Args:
        cluster: names the DestinationRule.
        journal: an open one.
        port: of the service, that is measured.
        host: the service, to make a DestinationRule if there is none.

    Raises:
        RestoreError: it is on loan already, or an earlier loan was not given back.
        InvalidValueError: there is none, and no host to make one for; it is for another host, for several, or for an
            address; or its limits are overridden further down.
        ClusterError, AwayError: no response.
    """
    found = read_unlent(cluster, host)
    if journal.read() is not None:
        raise RestoreError(
            f"{cluster} was changed by an earlier run and not given back; do so with: {restore_command(journal.path)}"
        )
    if found and host not in (None, found["spec"]["host"]):
        raise InvalidValueError("host", host, f"that of {cluster}: {found['spec']['host']}")
    _check_host(found["spec"]["host"] if found else str(host), cluster)
    if found:
        _refuse_overrides(found["spec"], cluster, port)
    return BorrowedDestinationRule(cluster, journal, found, Note.begin(found), written=[])


@contextmanager
def reclaim(loan: str) -> Iterator[BorrowedDestinationRule]:
    """Take over a loan whose holder has ended, to give it back.

    Args:
        loan: ``NAMESPACE/NAME`` of a DestinationRule with a note, or the path of a journal.

    Raises:
        RestoreError: there is no such loan, it is in use on this machine, it is another cluster's, or it can't be read.
        ClusterError, AwayError: no cluster.
    """
    if (named := NAMED.fullmatch(loan)) and not Path(loan).exists():
        cluster = Cluster(named[1], named[2])
        with Journal(journal_path(cluster.server, cluster.namespace, cluster.name)) as journal:
            if note := note_in(cluster.read()):
                yield BorrowedDestinationRule(cluster, journal, note.found, note, [note.written])
            elif entry := journal.read():
                yield _from_journal(cluster, journal, entry)
            else:
                raise RestoreError(f"{cluster} is not on loan; there is nothing to give back")
        return
    path = Path(loan)
    if not path.exists():
        raise RestoreError(f"there is no journal {clean(path)}; there is nothing to give back")
    with Journal(path) as journal:
        entry = journal.read()
        if entry is None:
            raise RestoreError(f"there is no journal {clean(path)} any more; there is nothing to give back")
        cluster = Cluster(entry.namespace, entry.name, entry.kube_context)
        if cluster.server != entry.server:
            raise RestoreError(f"{path} is of the cluster {entry.server}, but KUBECONFIG leads to {cluster.server}")
        yield _from_journal(cluster, journal, entry)


def _from_journal(cluster: Cluster, journal: Journal, entry: Entry) -> BorrowedDestinationRule:
    note = replace(Note.begin(entry.found), holder=entry.holder, since=entry.since)
    return BorrowedDestinationRule(cluster, journal, entry.found, note, entry.written)


def _check_host(host: str, cluster: Cluster) -> None:
    """Check that a host is one service."""
    if "*" in host:
        raise InvalidValueError("host", host, "one service", f"{cluster} is for several; measure with a rule for one.")
    try:
        ip_address(host)
    except ValueError:
        return
    raise InvalidValueError("host", host, "the name of a service; Kubernetes refuses an address")


def _refuse_overrides(spec: Object, cluster: Cluster, port: int) -> None:
    """Check that neither the port nor a subset has limits, which would replace those that are measured."""
    whole = spec.get("trafficPolicy") or {}
    found = _of_port(whole, port, "")
    for subset in spec.get("subsets") or []:
        policy = subset.get("trafficPolicy") or {}
        found += [f"subset {subset['name']}: {name}" for name in _LIMITS if policy.get(name) is not None]
        found += _of_port(policy, port, f"subset {subset['name']}: ")
    if found:
        allowed = "no limits of the port or of subsets, because they would override the measured ones"
        raise InvalidValueError(str(cluster), found, allowed, "Measure under a DestinationRule without them.")


def _of_port(policy: Object, port: int, where: str) -> list[str]:
    ports = [(one.get("port") or {}).get("number") for one in policy.get("portLevelSettings") or []]
    return [f"{where}portLevelSettings of port {port}"] if port in ports else []

"""Check that a mesh can be measured; tell what is on loan in a cluster, and give it back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshgym.cli.mesh_options import ClusterOptions, open_mesh
from meshgym.errors import AccessDeniedError, MeshGymError
from meshgym.mesh.cluster.journal import journal_folder, restore_command
from meshgym.scenarios import Scenario, load_scenario
from meshgym.urls import port_of

if TYPE_CHECKING:
    from meshgym.mesh.cluster.api import Cluster
    from meshgym.mesh.cluster.sidecar import Sidecar

#: What a check found, or the error if something isn't as it must be.
Finding = str | MeshGymError


def check_embedded(scenario: Scenario, options: ClusterOptions | None = None) -> Iterator[Finding]:
    """Check that Envoy is installed and that the embedded mesh responds; yield a finding per check.

    Args:
        scenario: whose service is asked; S1's if it has none.
        options: what else than its own generator loads it, or what else than this machine it may load.
    """
    for check in (_envoy, partial(_embedded_mesh, scenario if scenario.service else load_scenario("S1"), options)):
        yield _look(check)


def check_cluster(arguments: dict[str, Any], scenario: Scenario) -> Iterator[Finding]:
    """Check that everything ``IstioMesh(**arguments)`` needs is there, and tell what is in force; change nothing.

    Args:
        arguments: of the mesh.
        scenario: whose numbers the sidecar is compared with.

    Raises:
        MissingDependencyError: a package of the extra ``cluster`` isn't installed.
        ClusterError: there is no usable kubeconfig.
        InvalidValueError: an argument isn't allowed.
    """
    from meshgym.mesh.cluster.api import Cluster
    from meshgym.mesh.cluster.mesh import IstioMesh
    from meshgym.mesh.cluster.sidecar import Sidecar
    from meshgym.mesh.cluster.situation import compare
    from meshgym.mesh.load.fortio import Fortio

    cluster = Cluster(arguments["namespace"], arguments["destination_rule"], arguments.get("kube_context"))
    sidecar = Sidecar(arguments["sidecar"], cluster)
    fortio = Fortio(arguments["fortio_url"], arguments["target_url"])
    host = arguments.get("host")

    def destination_rule() -> str:
        with IstioMesh(**arguments) as mesh:
            return f"{cluster} can be measured; it is for {mesh.host}"

    def in_force() -> str:
        with IstioMesh(**arguments) as mesh:
            return f"{mesh.situation}; {compare(mesh.situation, scenario)}"

    yield _look(lambda: f"Kubernetes {cluster.server_version()} at {cluster.server}")
    yield _look(lambda: _rights(cluster, sidecar, host))
    yield (rule := _look(destination_rule))
    yield _look(lambda: f"Fortio responds at {fortio.run_url}, {fortio.check()} runs under way")
    yield (reached := _look(lambda: _sidecar(cluster, sidecar, host, port_of(arguments["target_url"]))))
    if isinstance(rule, str) and isinstance(reached, str):
        yield _look(in_force)


def restore(loans: list[str], force: bool = False) -> Iterator[Finding]:
    """Give back DestinationRules; yield a finding per loan.

    Args:
        loans: each ``NAMESPACE/NAME`` of a DestinationRule on loan, or the path of a journal; if empty, all journals in
            the usual folder, but for those in use.
        force: give back even over somebody else's change.
    """
    if not loans and not (paths := _journals()):
        yield f"nothing to give back: there is no journal in {journal_folder()}"
    for loan in loans or map(str, paths):
        yield from _restore(loan, force, skip=not loans)


def _restore(loan: str, force: bool, skip: bool) -> Iterator[Finding]:
    from meshgym.mesh.cluster.borrow import reclaim
    from meshgym.mesh.cluster.journal import JournalInUseError

    try:
        with reclaim(loan) as borrowed:
            if difference := borrowed.difference():
                yield f"somebody else changed {borrowed.cluster} while it was on loan:\n{difference}"
            borrowed.give_back(force=force)
            yield f"{borrowed.cluster} is as it was found"
    except JournalInUseError as error:
        yield f"left alone: {error}" if skip else error
    except MeshGymError as error:
        yield error


def status(namespaces: list[str], kube_context: str | None) -> Iterator[Finding]:
    """Tell what is on loan: by the notes in a cluster's DestinationRules, and by the journals on this machine.

    Args:
        namespaces: where to look; if empty, in all.
        kube_context: context of the kubeconfig.
    """
    from meshgym.mesh.cluster.api import Cluster

    for namespace in namespaces or [""]:
        cluster = Cluster(namespace, "", kube_context)
        where = f"in {namespace or 'all namespaces'} on {cluster.server}"
        try:
            lent = cluster.on_loan()
        except MeshGymError as error:
            yield error
            continue
        if not lent:
            yield f"nothing is on loan {where}"
        yield from (_look(partial(_loan, found, cluster.server)) for found in lent)
    for path in _journals():
        yield _look(partial(_journal, path))


def _loan(found: dict[str, Any], server: str) -> str:
    """Tell the loan of a DestinationRule that has a note."""
    from meshgym.mesh.cluster.note import note_in

    named = f"{found['metadata']['namespace']}/{found['metadata']['name']}"
    return f"{named} on {server} is {note_in(found)}; if that has ended: {restore_command(named)}"


def _journals() -> list[Path]:
    return sorted(journal_folder().glob("*.json"))


def _journal(path: Path) -> str:
    """Tell whose loan a journal on this machine is."""
    from meshgym.mesh.cluster.journal import Journal, JournalInUseError

    try:
        with Journal(path) as journal:
            entry = journal.read()
    except JournalInUseError as error:
        return str(error)
    if entry is None:
        return f"{path} is gone by now"
    what = f"{entry.namespace}/{entry.name} on {entry.server}, on loan since {entry.since}"
    return f"left by an earlier run: {what}; to give it back: {restore_command(path)}"


def _look(check: Callable[[], str]) -> Finding:
    try:
        return check()
    except MeshGymError as error:
        return error


def _envoy() -> str:
    from meshgym.mesh.embedded.process import envoy_binary, envoy_version

    return f"Envoy {envoy_version()} at {envoy_binary()}"


def _embedded_mesh(scenario: Scenario, options: ClusterOptions | None) -> str:
    setting = scenario.setting_at([span.low for span in scenario.ranges.values()])
    with open_mesh(options, scenario) as mesh:
        response = mesh.measure(setting.rules, setting.load)
    return f"the embedded mesh responds: {response.qps:.0f} requests per second, {response.p503:.0%} of them 503"


def _rights(cluster: Cluster, sidecar: Sidecar, host: str | None) -> str:
    """Check the rights to change, or make, the DestinationRule and to reach the sidecar."""
    from meshgym.mesh.cluster.api import GROUP, PLURAL

    kind = {"group": GROUP, "resource": PLURAL, "namespace": cluster.namespace}
    named = {**kind, "name": cluster.name}  # a role may be for this one object only
    needed = [{**named, "verb": verb} for verb in ("get", "patch", "update")]
    if host:
        needed += [{**kind, "verb": "create"}, {**named, "verb": "delete"}]
    if sidecar.pod:  # the client opens a port-forward by GET; newer clusters also want the right to create
        namespace, name = sidecar.pod
        pod = {"resource": "pods", "subresource": "portforward", "namespace": namespace, "name": name}
        needed += [{**pod, "verb": verb} for verb in ("get", "create")]
    missing = [_in_words(one) for one in needed if not cluster.allowed(**one)]
    if missing:
        raise AccessDeniedError(f"rights are missing: {', '.join(missing)}; see the manifest in docs/how-to/cluster.md")
    return f"all {len(needed)} rights are there"


def _in_words(right: dict[str, str]) -> str:
    what = "/".join(filter(None, (right["resource"], right.get("subresource"))))
    return f"{right['verb']} {what} in {right['namespace']}"


def _sidecar(cluster: Cluster, sidecar: Sidecar, host: str | None, port: int) -> str:
    found = cluster.read()
    seen = sidecar.look(found["spec"]["host"] if found else host or "", port)
    names = ", ".join(one.cluster["name"] for one in seen.clusters)
    return f"Envoy {seen.info.envoy} at {sidecar.where} reaches {names}"

"""Checks, before anything is measured, that it can be; and puts back what a killed run has left in a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshgym.errors import AccessDeniedError, MeshGymError
from meshgym.mesh.journal import journal_folder
from meshgym.scenarios import load_scenario
from meshgym.types import Setting

if TYPE_CHECKING:
    from meshgym.mesh.cluster import Cluster
    from meshgym.mesh.sidecar import Sidecar

#: What there is to say, or the error where something is not as it must be.
Finding = str | MeshGymError


def check_embedded() -> Iterator[Finding]:
    """Is Envoy here, and does the embedded mesh answer?"""
    for check in (_envoy, _embedded_mesh):
        yield _look(check)


def check_cluster(arguments: dict[str, Any]) -> Iterator[Finding]:
    """Is there all that ``IstioMesh(**arguments)`` needs? Nothing is changed, and no load is sent.

    Raises:
        MissingDependencyError: a package of the extra ``cluster``.
        ClusterError: no usable kubeconfig.
        InvalidValueError: an argument that will not do.
    """
    from meshgym.mesh.cluster import Cluster
    from meshgym.mesh.fortio import Fortio
    from meshgym.mesh.istio import IstioMesh
    from meshgym.mesh.sidecar import Sidecar

    cluster = Cluster(arguments["namespace"], arguments["destination_rule"], arguments.get("context"))
    sidecar = Sidecar(arguments["sidecar"], cluster)
    fortio = Fortio(arguments["fortio_url"], arguments["target_url"])

    def rule() -> str:
        with IstioMesh(**{**arguments, "dry_run": True}) as mesh:
            return f"{cluster} can be measured; it is for {mesh.host}"

    yield _look(lambda: f"Kubernetes {cluster.server_version()} at {cluster.server}")
    yield _look(lambda: _rights(cluster, sidecar, arguments.get("host")))
    yield _look(rule)
    yield _look(lambda: f"Fortio answers at {fortio.run_url}, {fortio.check()} runs under way")
    yield _look(lambda: _sidecar(cluster, sidecar, arguments.get("host")))


def restore(journals: list[Path]) -> Iterator[Finding]:
    """Put back the rules that ``journals`` remember, or all journals at the usual place."""
    from meshgym.mesh import rule

    paths = journals or sorted(journal_folder().glob("*.json"))
    if not paths:
        yield f"nothing is to be put back: there is no journal in {journal_folder()}"
    for path in paths:
        yield _look(lambda path=path: f"{rule.restore(path)} is as it was found")  # type: ignore[misc]


def _look(check: Callable[[], str]) -> Finding:
    try:
        return check()
    except MeshGymError as error:
        return error


def _envoy() -> str:
    from meshgym.mesh.process import envoy_binary, envoy_version

    return f"Envoy {envoy_version()} at {envoy_binary()}"


def _embedded_mesh() -> str:
    from meshgym.mesh.envoy import EmbeddedMesh

    scenario = load_scenario("S1")
    setting = Setting.from_row([span.low for span in scenario.ranges.values()])
    with EmbeddedMesh(scenario) as mesh:
        response = mesh.measure(setting.rules, setting.load)
    return f"the embedded mesh answers: {response.qps:.0f} answers a second, {response.p503:.0%} of them 503"


def _rights(cluster: Cluster, sidecar: Sidecar, host: str | None) -> str:
    """The rights that changing, or making, the rule and reaching the sidecar need."""
    from meshgym.mesh.cluster import GROUP, PLURAL

    verbs = ["get", "patch", "update", *(["create", "delete"] if host else [])]
    needed = [(verb, PLURAL, cluster.namespace, GROUP, "") for verb in verbs]
    if sidecar.pod:  # the client opens a port-forward by GET, newer clusters ask for the right to create too
        needed += [(verb, "pods", sidecar.pod[0], "", "portforward") for verb in ("get", "create")]
    missing = [
        f"{verb} {resource}{f'/{subresource}' if subresource else ''} in {namespace}"
        for verb, resource, namespace, group, subresource in needed
        if not cluster.allowed(verb, resource, namespace, group, subresource)
    ]
    if missing:
        raise AccessDeniedError(
            f"rights are missing: {', '.join(missing)}; docs/live.md has a manifest that gives them"
        )
    return f"all {len(needed)} rights are there"


def _sidecar(cluster: Cluster, sidecar: Sidecar, host: str | None) -> str:
    rule = cluster.read()
    reached = sidecar.outbound(rule["spec"]["host"] if rule else host or "")
    return f"Envoy {sidecar.version()} at {sidecar.where} reaches {', '.join(one['name'] for one in reached)}"

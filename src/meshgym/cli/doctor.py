"""Check that a mesh can be measured, and put back what a killed run left in a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshgym.errors import AccessDeniedError, MeshGymError
from meshgym.mesh.cluster.journal import journal_folder
from meshgym.scenarios import load_scenario

if TYPE_CHECKING:
    from meshgym.mesh.cluster.api import Cluster
    from meshgym.mesh.cluster.sidecar import Sidecar

#: What a check found, or the error if something isn't as it must be.
Finding = str | MeshGymError


def check_embedded() -> Iterator[Finding]:
    """Check that Envoy is installed and that the embedded mesh responds; yield a finding per check."""
    for check in (_envoy, _embedded_mesh):
        yield _look(check)


def check_cluster(arguments: dict[str, Any]) -> Iterator[Finding]:
    """Check that everything ``IstioMesh(**arguments)`` needs is there. Change nothing, and send no load.

    Raises:
        MissingDependencyError: a package of the extra ``cluster`` isn't installed.
        ClusterError: there is no usable kubeconfig.
        InvalidValueError: an argument isn't allowed.
    """
    from meshgym.mesh.cluster.api import Cluster
    from meshgym.mesh.cluster.fortio import Fortio
    from meshgym.mesh.cluster.mesh import IstioMesh
    from meshgym.mesh.cluster.sidecar import Sidecar

    cluster = Cluster(arguments["namespace"], arguments["destination_rule"], arguments.get("kube_context"))
    sidecar = Sidecar(arguments["sidecar"], cluster)
    fortio = Fortio(arguments["fortio_url"], arguments["target_url"])

    def destination_rule() -> str:
        with IstioMesh(**{**arguments, "dry_run": True}) as mesh:
            rules = ", ".join(f"{name} {value:g}" for name, value in mesh.in_force().to_dict().items()) or "no rules"
            return f"{cluster} can be measured; it is for {mesh.host}; in force: {rules}"

    yield _look(lambda: f"Kubernetes {cluster.server_version()} at {cluster.server}")
    yield _look(lambda: _rights(cluster, sidecar, arguments.get("host")))
    yield _look(destination_rule)
    yield _look(lambda: f"Fortio responds at {fortio.run_url}, {fortio.check()} runs under way")
    yield _look(lambda: _sidecar(cluster, sidecar, arguments.get("host")))


def restore(journals: list[Path]) -> Iterator[Finding]:
    """Put back the DestinationRules that ``journals`` remember; without journals, those of all in the usual folder."""
    from meshgym.mesh.cluster import loan

    paths = journals or sorted(journal_folder().glob("*.json"))
    if not paths:
        yield f"nothing to put back: there is no journal in {journal_folder()}"
    for path in paths:
        yield _look(lambda path=path: f"{loan.restore(path)} is as it was found")  # type: ignore[misc]


def _look(check: Callable[[], str]) -> Finding:
    try:
        return check()
    except MeshGymError as error:
        return error


def _envoy() -> str:
    from meshgym.mesh.embedded.process import envoy_binary, envoy_version

    return f"Envoy {envoy_version()} at {envoy_binary()}"


def _embedded_mesh() -> str:
    from meshgym.mesh.embedded.mesh import EmbeddedMesh

    scenario = load_scenario("S1")
    setting = scenario.setting_at([span.low for span in scenario.ranges.values()])
    with EmbeddedMesh(scenario) as mesh:
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


def _sidecar(cluster: Cluster, sidecar: Sidecar, host: str | None) -> str:
    found = cluster.read()
    reached = sidecar.outbound(found["spec"]["host"] if found else host or "")
    return f"Envoy {sidecar.version()} at {sidecar.where} reaches {', '.join(one['name'] for one in reached)}"

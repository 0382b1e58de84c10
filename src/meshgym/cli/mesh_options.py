"""The options that choose a live mesh, the same for every command that measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from meshgym.errors import InvalidValueError
from meshgym.mesh.base import Mesh
from meshgym.mesh.limits import SAFE_CALLS, SAFE_CALLS_PER_STEP, SAFE_P503, AllowedHost, CallLimits
from meshgym.rules.destination_rule import DestinationRule
from meshgym.scenarios import Scenario
from meshgym.traces.collect import Copies

#: Options that limit what a service may suffer.
_LIMITS = ("max_qps", "max_calls", "max_calls_per_step", "max_p503")
#: What copies of a service may differ in; and seconds that a run may take, besides those of waiting.
_OF_COPIES, _COPY_S = {"namespace", "host", "target_url", "found"}, 600.0
#: How many settings the embedded mesh measures at once.
Lanes = Annotated[int, Parameter(validator=Number(gte=1, lte=64))]
_Calls = Annotated[int, Parameter(validator=Number(gte=1, lt=2**31))]
_GROUP = Group(
    "A cluster instead of the embedded Envoy",
    help="See docs/how-to/cluster.md. Without --destination-rule nothing in a cluster is touched; --fortio alone lets "
    "a Fortio on this machine load the embedded Envoy, and --allow-host lets that load a service elsewhere.",
    sort_key=50,
)


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """A service in a cluster, and how to load it; see :class:`~meshgym.mesh.cluster.mesh.IstioMesh`.

    Attributes:
        destination_rule: NAMESPACE/NAME of the DestinationRule to change, and to put back at the end.
        fortio: URL of the Fortio server that sends the load; without the other options, to the embedded Envoy.
        target: URL that Fortio calls, as seen from its pod.
        sidecar: Envoy's admin interface beside Fortio: a URL, or NAMESPACE/POD.
        kube_context: context of the kubeconfig (default: its current one).
        allow_host: host of a service of your own that isn't on this machine, as in its URL; takes --max-qps.
        new_rule_for: host to make a DestinationRule for, if there is none; it's deleted at the end.
        max_qps: most requests per second (default: 1000 in an open loop; closed ones are as fast as the service).
        max_calls: most requests in all.
        max_calls_per_step: most requests of a run.
        max_p503: after a run with a larger share of 503s than this, 0..1, nothing more is sent; that run counts.
        probe: after a run with 503s, send nothing until the service has recovered, as single calls under its own rule
            show; give up after --wait.
        namespaces: the only ones in which a DestinationRule may be changed (default: any); for a file that many share.
        dry_run: print what a run would send, and send nothing.
        accept: rules in force in the cluster, besides those that vary, to measure under nevertheless; http2 for a port
            that isn't HTTP/1.1, traffic for requests of others through the same sidecar.
        mesh_config: file of the mesh's configuration, whose defaultTrafficPolicy holds for what the rule leaves out.
        wait: seconds to wait for a part of the cluster that is away, before the command ends.
        copies: namespaces that hold the same service, DestinationRule and Fortio each, to collect in side by side;
            {namespace} in the options above stands for each of them.

    Raises:
        InvalidValueError: ``destination_rule`` isn't NAMESPACE/NAME.
    """

    destination_rule: str = ""
    fortio: str = ""
    target: str = ""
    sidecar: str = ""
    allow_host: str = ""
    kube_context: str | None = None
    new_rule_for: str | None = None
    max_qps: Annotated[float, Parameter(validator=Number(gt=0))] | None = None
    max_calls: _Calls = SAFE_CALLS
    max_calls_per_step: _Calls = SAFE_CALLS_PER_STEP
    max_p503: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = SAFE_P503
    probe: bool = False
    namespaces: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ()
    dry_run: bool = False
    accept: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ()
    mesh_config: Path | None = None
    wait: Annotated[float, Parameter(validator=Number(gte=0, lte=86_400))] = 600.0
    copies: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ()

    def __post_init__(self) -> None:
        if not self.destination_rule:
            given = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
            alone = {"allow_host", *_LIMITS} if self.allow_host else {"fortio"}
            if self.allow_host and self.max_qps is None:
                raise InvalidValueError("--max-qps", None, f"calls per second that {self.allow_host} can take")
            if not set(given) <= alone:
                options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
                raise InvalidValueError("--destination-rule", "", "NAMESPACE/NAME", f"For a cluster: {options}.")
            return
        namespace, _, name = self.destination_rule.partition("/")
        if not namespace or not name:
            raise InvalidValueError("--destination-rule", self.destination_rule, "NAMESPACE/NAME, both of them")
        for option in ("fortio", "target", "sidecar"):
            if not getattr(self, option):
                raise InvalidValueError(f"--{option}", "", "a value; a cluster can't be measured without it")

    @property
    def embedded(self) -> bool:
        """Whether they only say how the embedded mesh is loaded, or what it may load."""
        return not self.destination_rule

    def each(self) -> list[ClusterOptions]:
        """Return the options of each copy; the limit on calls is shared out."""
        named = {name: getattr(self, name) for name in ("destination_rule", "fortio", "target", "sidecar")}
        return [
            replace(
                self,
                **{name: value.replace("{namespace}", namespace) for name, value in named.items()},
                max_calls=self.max_calls // len(self.copies),
                copies=(),
            )
            for namespace in self.copies
        ]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``IstioMesh``.

        Raises:
            InvalidValueError: these are the options of several meshes.
        """
        if self.copies:
            raise InvalidValueError("--copies", list(self.copies), "only for meshgym collect")
        given = asdict(self)
        del given["copies"], given["allow_host"]
        namespace, _, name = given.pop("destination_rule").partition("/")
        renamed = {"fortio": "fortio_url", "target": "target_url", "new_rule_for": "host", "wait": "wait_s"}
        return {"namespace": namespace, "destination_rule": name} | {
            renamed.get(option, option): value for option, value in given.items()
        }


def read_rule(cluster: ClusterOptions) -> DestinationRule:
    """Return the DestinationRule that is measured, as it is in the cluster now; nothing is changed.

    Raises:
        RestoreError: it is on loan, so it isn't what it usually is.
        InvalidValueError: there is none, and no host to make one for.
        ClusterError, AwayError: no response.
    """
    from meshgym.mesh.cluster.api import Cluster
    from meshgym.mesh.cluster.borrow import read_unlent

    namespace, _, name = cluster.destination_rule.partition("/")
    found = read_unlent(Cluster(namespace, name, cluster.kube_context), cluster.new_rule_for)
    return DestinationRule(name, namespace, found["spec"] if found else {"host": cluster.new_rule_for})


def open_mesh(cluster: ClusterOptions | None, scenario: Scenario) -> Mesh:
    """Open a cluster's mesh, or the embedded one with the scenario's service; a context manager.

    Raises:
        MeshGymError: the mesh doesn't come up.
    """
    if cluster is None or cluster.embedded:
        from meshgym.mesh.embedded.mesh import EmbeddedMesh

        if cluster is None:
            return EmbeddedMesh(scenario)
        host = None
        if cluster.allow_host and cluster.max_qps:
            limits = CallLimits(cluster.max_calls_per_step, cluster.max_calls, cluster.max_p503)
            host = AllowedHost(cluster.allow_host, cluster.max_qps, limits)
        return EmbeddedMesh(scenario, fortio=cluster.fortio or None, allowed_host=host)
    from meshgym.mesh.cluster.mesh import IstioMesh

    return IstioMesh(**cluster.arguments(), scenario=scenario)


def open_copies(cluster: ClusterOptions, scenario: Scenario) -> Copies:
    """Look at all copies of a service, and return what measures in them.

    Raises:
        InvalidValueError: they aren't alike.
        MeshGymError: a mesh doesn't come up.
    """
    makers = [partial(open_mesh, one, scenario) for one in cluster.each()]
    services, versions = [], []
    for make in makers:
        with make() as mesh:
            services.append(mesh.about())
            versions.append(mesh.versions())
    for one, other in zip(services, cluster.copies, strict=True):
        differs = sorted(key for key in one if key not in _OF_COPIES and one[key] != services[0][key])
        if differs:
            raise InvalidValueError(
                f"{', '.join(differs)} in namespace {other}",
                [one[key] for key in differs],
                f"as in {cluster.copies[0]}: {[services[0][key] for key in differs]}",
                "Copies must be alike, or their rows can't stand in one set.",
            )
    service = {**services[0], "copies": list(cluster.copies)}
    most_s = _COPY_S + cluster.wait
    return Copies(makers, service, versions[0], run_s=most_s, end_s=most_s)

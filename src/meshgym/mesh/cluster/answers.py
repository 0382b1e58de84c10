"""What the API server and Envoy's admin port send, checked against the shapes that we rely on.

What isn't declared here is kept as it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from meshgym.errors import ClusterError, MissingDependencyError, clean
from meshgym.mesh.shapes import Object, shaped
from meshgym.rules.schema import without_nulls

try:
    import msgspec
except ImportError as error:
    raise MissingDependencyError("msgspec", "measuring in a cluster", "cluster") from error

#: What istiod says of a replica that isn't ready.
_NOT_READY = ("UNHEALTHY", "DRAINING", "TIMEOUT")


class _Pool(msgspec.Struct, frozen=True):
    tcp: Object = {}
    http: Object = {}


class _Policy(msgspec.Struct, frozen=True):
    connectionPool: _Pool | None = None  # noqa: N815 (Istio's names)
    outlierDetection: Object = {}  # noqa: N815
    loadBalancer: Object = {}  # noqa: N815
    retryBudget: Object = {}  # noqa: N815
    portLevelSettings: list[Object] = []  # noqa: N815


class _Subset(msgspec.Struct, frozen=True):
    name: str
    trafficPolicy: _Policy | None = None  # noqa: N815


class _Spec(msgspec.Struct, frozen=True):
    host: str
    trafficPolicy: _Policy | None = None  # noqa: N815
    subsets: list[_Subset] = []


class _Metadata(msgspec.Struct, frozen=True):
    name: str
    namespace: str
    resourceVersion: str  # noqa: N815
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    managedFields: list[Object] = []  # noqa: N815


class _DestinationRule(msgspec.Struct, frozen=True):
    kind: Literal["DestinationRule"]
    metadata: _Metadata
    spec: _Spec


class _Rules(msgspec.Struct, frozen=True):
    items: list[Object]


class _Details(msgspec.Struct, frozen=True):
    name: str = ""


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    details: _Details = _Details()


class _Options(msgspec.Struct, frozen=True):
    concurrency: int = 0


class _Node(msgspec.Struct, frozen=True):
    id: str = ""
    metadata: Object = {}


class ServerInfo(msgspec.Struct, frozen=True):
    """Envoy's ``/server_info``."""

    version: str
    uptime_current_epoch: str = "0s"
    command_line_options: _Options = _Options()
    node: _Node = _Node()

    @property
    def envoy(self) -> str:
        """Envoy's release, such as ``1.40.0``."""
        return self.version.split("/")[1]


class _Breakers(msgspec.Struct, frozen=True):
    thresholds: list[Object] = []


class _Cluster(msgspec.Struct, frozen=True):
    name: str
    circuit_breakers: _Breakers = _Breakers()
    outlier_detection: Object = {}
    common_lb_config: dict[str, Object | bool | str | int] = {}
    typed_extension_protocol_options: dict[str, Object] = {}
    metadata: Object = {}


class ActiveCluster(msgspec.Struct, frozen=True):
    """An entry of ``dynamic_active_clusters`` in Envoy's configuration dump."""

    cluster: Object
    last_updated: str = ""


class _Dump(msgspec.Struct, frozen=True):
    configs: list[ActiveCluster] = []


def destination_rule(found: Any, namespace: str, name: str) -> Object:
    """Check that something is this DestinationRule, and not another object or a proxy's login page.

    Returns:
        The object as it is; it is put back to the letter, null included.

    Raises:
        ClusterError: it isn't.
    """
    whose = "the API server"
    shape = shaped(found, _DestinationRule, whose, f"the DestinationRule {namespace}/{name}")
    metadata = shape.metadata
    if (metadata.namespace, metadata.name) != (namespace, name):
        raise ClusterError(
            f"{whose} was asked for the DestinationRule {namespace}/{name} and sent "
            f"{clean(metadata.namespace, 100)}/{clean(metadata.name, 100)}"
        )
    return dict(found)


def destination_rules(found: Any) -> list[Object]:
    """Check a list of DestinationRules; those that aren't any are an error."""
    items = shaped(found, _Rules, "the API server", "a list of DestinationRules").items
    kind = {"kind": "DestinationRule"}  # lists may leave it out
    for item in items:
        shaped(kind | item, _DestinationRule, "the API server", "a list of DestinationRules")
    return items


def status_of(body: Any) -> tuple[str, str]:
    """Return the message of an error of the API server, and the name of the object that it's about; empty if none."""
    try:
        status = msgspec.convert(without_nulls(json.loads(body or "")), _Status)
    except (ValueError, TypeError, RecursionError):
        return "", ""
    return clean(status.message), status.details.name


def server_info(found: Any, whose: str) -> ServerInfo:
    """Check Envoy's ``/server_info``."""
    info = shaped(found, ServerInfo, whose, "Envoy's server_info")
    if info.version.count("/") < 2:
        raise ClusterError(f"{whose} sent the version {clean(info.version, 100)!r}, which isn't Envoy's")
    return info


class _Health(msgspec.Struct, frozen=True):
    eds_health_status: str = ""


class _Counter(msgspec.Struct, frozen=True):
    name: str
    value: str = "0"


class _Host(msgspec.Struct, frozen=True):
    health_status: _Health = _Health()
    stats: list[_Counter] = []


class _ClusterStatus(msgspec.Struct, frozen=True):
    name: str
    host_statuses: list[_Host] = []


class _Statuses(msgspec.Struct, frozen=True):
    cluster_statuses: list[_ClusterStatus] = []


class Replicas(NamedTuple):
    """The replicas of clusters.

    Attributes:
        ready: how many may get requests.
        requests: how many they got from this Envoy since it built the clusters.
    """

    ready: int
    requests: int


def replicas(found: Any, names: Collection[str], whose: str) -> Replicas:
    """Read the replicas of the clusters with these names in Envoy's ``/clusters?format=json``."""
    statuses = shaped(found, _Statuses, whose, "Envoy's replicas").cluster_statuses
    hosts = [host for one in statuses if one.name in names for host in one.host_statuses]
    counted = [stat.value for host in hosts for stat in host.stats if stat.name == "rq_total"]
    if not all(value.isdecimal() for value in counted):
        raise ClusterError(f"{whose} sent counters that are no numbers: {clean(str(counted), 100)}")
    ready = sum(host.health_status.eds_health_status not in _NOT_READY for host in hosts)
    return Replicas(ready, sum(map(int, counted)))


def active_clusters(found: Any, whose: str) -> list[ActiveCluster]:
    """Check Envoy's ``/config_dump?resource=dynamic_active_clusters``."""
    entries = shaped(found, _Dump, whose, "Envoy's clusters").configs
    for entry in entries:
        shaped(entry.cluster, _Cluster, whose, "Envoy's clusters")
    return entries

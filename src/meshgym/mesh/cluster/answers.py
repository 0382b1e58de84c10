"""What the API server, Envoy's admin port and Fortio send, checked against the shapes that we rely on.

What is null counts as left out, as in JSON of Kubernetes and of protobuf. What isn't declared here is kept as it is.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal, TypeVar

from meshgym.errors import ClusterError, MissingDependencyError, clean
from meshgym.rules.schema import without_nulls

try:
    import msgspec
except ImportError as error:
    raise MissingDependencyError("msgspec", "measuring in a cluster", "cluster") from error

#: An object of Kubernetes, or a part of one.
Object = dict[str, Any]
#: A result of Fortio may be off by what it rounds.
_ROUNDING = 0.01

T = TypeVar("T")


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


class _Bucket(msgspec.Struct, frozen=True):
    Start: float
    End: float
    Count: int


class _Histogram(msgspec.Struct, frozen=True):
    Count: int
    Data: list[_Bucket] = []


class FortioResult(msgspec.Struct, frozen=True):
    """What Fortio's ``/rest/run`` returns."""

    RetCodes: dict[str, int]
    ActualQPS: float
    ActualDuration: int
    NumThreads: int
    DurationHistogram: _Histogram
    Labels: str
    URL: str
    ErrorsDurationHistogram: _Histogram = _Histogram(0)


class _RunnerOptions(msgspec.Struct, frozen=True):
    Labels: str = ""


class _Run(msgspec.Struct, frozen=True):
    RunnerOptions: _RunnerOptions = _RunnerOptions()


class _Runs(msgspec.Struct, frozen=True):
    Statuses: dict[str, _Run] = {}


def read_json(text: str | bytes, whose: str) -> Any:
    """Read JSON.

    Raises:
        ClusterError: it isn't JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        raise ClusterError(f"{whose} sent {clean(said, 100)!r} instead of JSON") from None


def destination_rule(found: Any, namespace: str, name: str) -> Object:
    """Check that something is this DestinationRule, and not another object or a proxy's login page.

    Returns:
        The object as it is; it is put back to the letter, null included.

    Raises:
        ClusterError: it isn't.
    """
    whose = "the API server"
    shape = _shaped(found, _DestinationRule, whose, f"the DestinationRule {namespace}/{name}")
    metadata = shape.metadata
    if (metadata.namespace, metadata.name) != (namespace, name):
        raise ClusterError(
            f"{whose} was asked for the DestinationRule {namespace}/{name} and sent "
            f"{clean(metadata.namespace, 100)}/{clean(metadata.name, 100)}"
        )
    return dict(found)


def destination_rules(found: Any) -> list[Object]:
    """Check a list of DestinationRules; those that aren't any are an error."""
    items = _shaped(found, _Rules, "the API server", "a list of DestinationRules").items
    kind = {"kind": "DestinationRule"}  # lists may leave it out
    for item in items:
        _shaped(kind | item, _DestinationRule, "the API server", "a list of DestinationRules")
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
    info = _shaped(found, ServerInfo, whose, "Envoy's server_info")
    if info.version.count("/") < 2:
        raise ClusterError(f"{whose} sent the version {clean(info.version, 100)!r}, which isn't Envoy's")
    return info


def active_clusters(found: Any, whose: str) -> list[ActiveCluster]:
    """Check Envoy's ``/config_dump?resource=dynamic_active_clusters``."""
    entries = _shaped(found, _Dump, whose, "Envoy's clusters").configs
    for entry in entries:
        _shaped(entry.cluster, _Cluster, whose, "Envoy's clusters")
    return entries


def fortio_runs(found: Any, whose: str) -> dict[str, str]:
    """Return the label of each run that Fortio has under way, by number."""
    if not isinstance(found, dict) or "Statuses" not in found:
        raise ClusterError(f"{whose} sent something other than Fortio's status: {clean(found, 100)}")
    runs = _shaped(found, _Runs, whose, "Fortio's status").Statuses
    return {number: run.RunnerOptions.Labels for number, run in runs.items()}


def fortio_result(found: Any, whose: str) -> FortioResult:
    """Check a result of Fortio, and that it doesn't contradict itself.

    Raises:
        ClusterError: another shape, numbers that are none, or that don't fit together.
    """
    result = _shaped(found, FortioResult, whose, "Fortio's result")
    calls, counted = sum(result.RetCodes.values()), result.DurationHistogram.Count
    histograms = (result.DurationHistogram, result.ErrorsDurationHistogram)
    times = [value for one in histograms for bucket in one.Data for value in (bucket.Start, bucket.End, bucket.Count)]
    numbers = [result.ActualQPS, result.ActualDuration, *times, *result.RetCodes.values()]
    reasons = []
    if not all(math.isfinite(number) and number >= 0 for number in numbers) or not result.ActualDuration:
        reasons.append("it holds numbers that can't be")
    elif not math.isclose(result.ActualQPS * result.ActualDuration / 1e9, calls, rel_tol=_ROUNDING):
        took = result.ActualDuration / 1e9
        reasons.append(f"{calls} calls in {took:g} s aren't {result.ActualQPS:g} calls per second")
    if counted != calls:
        reasons.append(f"it has times of {counted} calls and codes of {calls}")
    if reasons:
        raise ClusterError(f"{whose} sent a result that contradicts itself: {'; '.join(reasons)}")
    return result


def _shaped(found: Any, shape: type[T], whose: str, what: str) -> T:
    try:
        return msgspec.convert(without_nulls(found), shape)
    except msgspec.ValidationError as error:
        said = clean(json.dumps(found, default=str), 100)
        raise ClusterError(f"{whose} sent something other than {what}: {clean(error)}; it begins with {said}") from None

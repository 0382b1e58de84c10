"""The service under test of the embedded mesh, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from meshgym.errors import InvalidValueError, UnknownNameError

HOUR_MS = 3_600_000
#: Of the client's sidecar and its callers, whatever the service is.
SIDECAR_LIMITS = {
    "proxy_workers": (1, 16),
    "idle_timeout_ms": (1, 24 * HOUR_MS),
    "client_timeout_ms": (0, HOUR_MS),
}
FaultKind = Literal["dead", "hanging", "slow", "status"]
_FAULTS = ("dead", "hanging", "slow", "status")
_Service = TypeVar("_Service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with some of the replicas.

    Attributes:
        kind: ``"dead"`` refuses connections, ``"hanging"`` accepts requests and never responds, ``"slow"`` responds
            late by a log-normal time, ``"status"`` responds at once with an error.
        replicas: how many have it, 1..64. Faults are dealt out from the last of the replicas in use.
        status: of the error, 400..599.
        median_ms: of the log-normal time, 1..3600000.
        sigma: standard deviation of its logarithm, above 0, at most 5.
        share: of the requests that meet the fault, drawn at random, above 0, at most 1; not of a dead one's.
        after_s: seconds from the run's first request to the replica until the fault begins, 0..3600; a dead one is dead
            from the start.
        for_s: seconds until it has recovered, 0..3600; 0 for never.

    Raises:
        InvalidValueError: a value outside its range.
    """

    kind: FaultKind
    replicas: int = 1
    status: int = 500
    median_ms: int = 100
    sigma: float = 1.0
    share: float = 1.0
    after_s: float = 0.0
    for_s: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in _FAULTS:
            raise UnknownNameError("service.faults.kind", self.kind, _FAULTS)
        limits = {"replicas": (1, 64), "status": (400, 599), "median_ms": (1, HOUR_MS)}
        check_whole(self, limits, "service.faults")
        for name, low, high in (("sigma", 0.001, 5), ("share", 0.001, 1), ("after_s", 0, 3600), ("for_s", 0, 3600)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InvalidValueError(f"service.faults.{name}", value, f"a number {low}..{high}")
        if self.kind == "dead" and (self.after_s or self.for_s or self.share != 1):
            remedy = "Let it hang, or respond with a status."
            given = "dead with share, after_s or for_s"
            raise InvalidValueError("service.faults", given, "dead from start to end", remedy)


@dataclass(frozen=True, slots=True)
class ServiceProfile:
    """The service under test of the embedded mesh: replicas of limited capacity.

    Each replica responds after ``service_time_ms``. It holds a bucket of ``burst`` tokens that refills by
    ``rate_per_s``; a request that finds the bucket empty gets a 503. The buckets are full at the start of every run.

    A weak replica has a smaller and slower bucket: it is the outlier that the mesh should eject. Standby replicas
    get requests only when others are ejected (Istio's locality failover); ``maxEjectionPercent`` counts them
    among the replicas.

    Attributes:
        replicas: replicas in use, 1..64.
        service_time_ms: milliseconds, 0..1000; of 2.25, a quarter of the requests take 3 and the others 2.
        burst: requests that a replica can serve at once, 1..1000000.
        rate_per_s: requests per second that a replica can serve for long, 1..1000000.
        mtls: whether client sidecar and replicas use mutual TLS, as is Istio's default.
        network_delay_ms: milliseconds that each request takes to reach the sidecar, 0..1000; fractions as above.
        proxy_workers: worker threads of the client's sidecar, 1..16 (Istio's default is 2).
        idle_timeout_ms: whole milliseconds that the sidecar keeps a connection that isn't used, 1..86400000, unless the
            rules say so (Istio's default is an hour). Until then it counts against ``maxConnections``, even if its
            replica is ejected.
        weak_replicas: how many of the replicas in use are weak, 0..replicas.
        weakness: burst and rate of a weak replica are divided by this number, 1..1000, and are at least 1.
        standby_replicas: replicas besides those in use, 0..64.
        spread_ms: milliseconds that a random half of the responses take longer, 0..1000; fractions as above.
        client_timeout_ms: whole milliseconds after which the client hangs up on a call, 0..3600000; 0 for never.
            Fortio's default is 3000.
        faults: what is wrong with some of the replicas in use, for at most all of them.

    Raises:
        InvalidValueError: a value outside its range.
    """

    replicas: int
    service_time_ms: float
    burst: int
    rate_per_s: int
    mtls: bool = True
    network_delay_ms: float = 0
    proxy_workers: int = 2
    idle_timeout_ms: int = HOUR_MS
    weak_replicas: int = 0
    weakness: int = 20
    standby_replicas: int = 0
    spread_ms: float = 0
    client_timeout_ms: int = 0
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        limits = {
            "replicas": (1, 64),
            "burst": (1, 10**6),
            "rate_per_s": (1, 10**6),
            "weak_replicas": (0, self.replicas),
            "weakness": (1, 1000),
            "standby_replicas": (0, 64),
            **SIDECAR_LIMITS,
        }
        check_whole(self, limits, "service")
        check_delays(self, "service_time_ms", "spread_ms", "network_delay_ms")
        if type(self.mtls) is not bool:
            raise InvalidValueError("service.mtls", self.mtls, "true or false")
        object.__setattr__(self, "faults", tuple(map(_fault, self.faults)))
        faulty = sum(fault.replicas for fault in self.faults)
        if faulty > self.replicas:
            raise InvalidValueError("service.faults", f"{faulty} replicas", f"at most the {self.replicas} in use")

    @property
    def longest_s(self) -> float:
        """Seconds without a response that are no surprise."""
        late = [fault for fault in self.faults if fault.kind in ("hanging", "slow")]
        waits_ms = self.client_timeout_ms or HOUR_MS if late else 0
        return (self.service_time_ms + self.spread_ms + self.network_delay_ms + waits_ms) / 1000

    @property
    def call_ms(self) -> float:
        """Milliseconds that a call takes on the way and in a sound replica, on average."""
        return self.service_time_ms + self.network_delay_ms + self.spread_ms / 2


def _fault(given: object) -> Fault:
    """Return a fault, or read one."""
    return given if isinstance(given, Fault) else build(Fault, given, "service.faults")


def check_whole(service: object, limits: Mapping[str, tuple[int, int]], what: str) -> None:
    """Check that attributes are whole numbers within limits.

    Raises:
        InvalidValueError: one isn't.
    """
    for name, (low, high) in limits.items():
        value = getattr(service, name)
        if type(value) is not int or not low <= value <= high:
            raise InvalidValueError(f"{what}.{name}", value, f"a whole number {low}..{high}")


def check_delays(service: object, *names: str) -> None:
    """Check that attributes of a service are milliseconds, 0..1000.

    Raises:
        InvalidValueError: one isn't.
    """
    for name in names:
        value = getattr(service, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1000:
            raise InvalidValueError(f"service.{name}", value, "a number of milliseconds 0..1000")


def build(kind: type[_Service], table: object, what: str) -> _Service:
    """Make a dataclass of a TOML table.

    Raises:
        InvalidValueError: an unknown or missing key, or a value out of range.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(table, Mapping) or not set(table) <= names:
        found = sorted(table) if isinstance(table, Mapping) else table
        raise InvalidValueError(f"section [{what}]", found, f"keys out of {', '.join(sorted(names))}")
    values: dict[str, Any] = dict(table)
    try:
        return kind(**values)
    except TypeError as error:
        raise InvalidValueError(f"section [{what}]", sorted(table), str(error)) from None

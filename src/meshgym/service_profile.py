"""The service under test of the embedded mesh, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields

from meshgym.errors import InvalidValueError

HOUR_MS = 3_600_000


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
        service_time_ms: whole milliseconds, 0..1000.
        burst: requests that a replica can serve at once, 1..1000000.
        rate_per_s: requests per second that a replica can serve for long, 1..1000000.
        mtls: whether client sidecar and replicas use mutual TLS, as is Istio's default.
        network_delay_ms: whole milliseconds that each request takes to reach the sidecar, 0..1000.
        proxy_workers: worker threads of the client's sidecar, 1..16 (Istio's default is 2).
        idle_timeout_ms: whole milliseconds that the sidecar keeps a connection that isn't used, 1..86400000, unless the
            rules say so (Istio's default is an hour). Until then it counts against ``maxConnections``, even if its
            replica is ejected.
        weak_replicas: how many of the replicas in use are weak, 0..replicas.
        weakness: burst and rate of a weak replica are divided by this number, 1..1000, and are at least 1.
        standby_replicas: replicas besides those in use, 0..64.
        spread_ms: whole milliseconds that a random half of the responses take longer, 0..1000.

    Raises:
        InvalidValueError: a value outside its range.
    """

    replicas: int
    service_time_ms: int
    burst: int
    rate_per_s: int
    mtls: bool = True
    network_delay_ms: int = 0
    proxy_workers: int = 2
    idle_timeout_ms: int = HOUR_MS
    weak_replicas: int = 0
    weakness: int = 20
    standby_replicas: int = 0
    spread_ms: int = 0

    def __post_init__(self) -> None:
        limits = {
            "replicas": (1, 64),
            "service_time_ms": (0, 1000),
            "burst": (1, 10**6),
            "rate_per_s": (1, 10**6),
            "network_delay_ms": (0, 1000),
            "proxy_workers": (1, 16),
            "idle_timeout_ms": (1, 24 * HOUR_MS),
            "weak_replicas": (0, self.replicas),
            "weakness": (1, 1000),
            "standby_replicas": (0, 64),
            "spread_ms": (0, 1000),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InvalidValueError(f"service.{name}", value, f"a whole number {low}..{high}")
        if type(self.mtls) is not bool:
            raise InvalidValueError("service.mtls", self.mtls, "true or false")


def read_profile(table: object) -> ServiceProfile:
    """Read the section ``[service]`` of a scenario.

    Raises:
        InvalidValueError: an unknown or missing key, or a value out of range.
    """
    names = {field.name for field in fields(ServiceProfile)}
    if not isinstance(table, dict) or not set(table) <= names:
        found = sorted(table) if isinstance(table, dict) else table
        raise InvalidValueError("section [service]", found, f"keys out of {', '.join(sorted(names))}")
    try:
        return ServiceProfile(**table)
    except TypeError as error:
        raise InvalidValueError("section [service]", sorted(table), str(error)) from None

"""What a recommendation starts from; a module of its own, because command lines need it before all else."""

from __future__ import annotations

from dataclasses import dataclass

from meshgym.errors import InvalidValueError
from meshgym.rules.destination_rule import DestinationRule


@dataclass(frozen=True)
class Place:
    """Where in a cluster a recommendation goes, and where it's measured.

    Attributes:
        rule: the DestinationRule as it is now.
        url: what Fortio calls.
    """

    rule: DestinationRule
    url: str


@dataclass(frozen=True)
class Request:
    """What to recommend.

    Attributes:
        rules: a DestinationRule's file, or NAME=VALUE,... (default: find the best rules).
        load: threads=N,calls=N, or rate_per_s=X,calls=N for an open loop; give it once per load (default: all loads).
        criterion: how to compare rules: under their worst load (worst) or on average (mean).
        name: name of the DestinationRule (default: that of --rules, or httpbin as in Istio's sample). With
            --destination-rule, its name, namespace and host, and --target, are taken.
        namespace: namespace of the DestinationRule (default: that of --rules, or default).
        host: which of the services in --rules; without --rules, the service that the DestinationRule is for (default:
            NAME.NAMESPACE.svc.cluster.local).
        subset: which of the subsets in --rules (default: the whole service).
        port: which of the ports with settings of their own in --rules (default: none of them).
        url: URL that Fortio calls (default: http://HOST:8000/get).
        slo: an objective, such as "p99<200ms" or "success>99.9%"; give it once per objective. Finds the rules and the
            load that carry the most 200s per second within all of them, with 95 % certainty. Exit code 1 if none do, or
            if they aren't kept when measured.
        measure: also measure on a live mesh what is expected.
        direct: find the worst load under --rules by so many runs on the live mesh, without a simulator; ten to twenty
            are enough for one set of rules. It is measured then, as with --measure.
        repeats: measured runs of each load, at least 1.
        seed: seed of the rules drawn where there are too many to try all.

    Raises:
        InvalidValueError: repeats, runs or seed out of range, or a direct search without rules or with loads.
    """

    rules: str | None = None
    load: tuple[str, ...] = ()
    criterion: str = "worst"
    name: str | None = None
    namespace: str | None = None
    host: str | None = None
    subset: str | None = None
    port: int | None = None
    url: str | None = None
    slo: tuple[str, ...] = ()
    measure: bool = False
    direct: int | None = None
    repeats: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (("repeats", 1, 10**6), ("seed", 0, 2**32 - 1), ("direct", 1, 10**4)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InvalidValueError(name, value, f"a whole number {least}..{most}")
        if self.direct and self.slo:
            raise InvalidValueError("--direct", self.direct, "without --slo: it looks for the worst load")
        if self.direct and (not self.rules or self.load):
            raise InvalidValueError("--direct", self.direct, "with --rules and without --load: it searches the loads")

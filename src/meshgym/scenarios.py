"""Scenarios: which rules and loads there are, what an agent may choose, and which service is under test.

S1..S5 are the paper's (ranges of Table 4, actions of Table 6); they lie as TOML files in
``meshgym/data/scenarios``. A file of one's own in the same form is a scenario too.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.types import LOAD_NAMES, RULE_NAMES, Load, TrafficRules

SCENARIO_NAMES: tuple[str, ...] = ("S1", "S2", "S3", "S4", "S5")


@dataclass(frozen=True, slots=True)
class Range:
    """The values ``low, low + step, .., high``, both ends included; fixed where ``low == high``.

    Attributes:
        low, high: the ends, in the setting's unit.
        step: between two values, above 0.

    Raises:
        InvalidValueError: numbers that are not finite, ``low`` above ``high``, or no ``step`` above 0.
    """

    low: float
    high: float
    step: float = 1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and self.low <= self.high < math.inf and self.step > 0):
            raise InvalidValueError(
                "range", [self.low, self.high, self.step], "[low, high] or [low, high, step], low <= high, step > 0"
            )

    @classmethod
    def parse(cls, name: str, value: object) -> Range:
        """From a TOML value: a number (fixed), ``[low, high]`` or ``[low, high, step]``.

        Args:
            name: what messages call it.
            value: the TOML value.

        Raises:
            InvalidValueError: none of these.
        """
        numbers = value if isinstance(value, list) else [value, value]
        if len(numbers) not in (2, 3) or not all(type(number) in (int, float) for number in numbers):
            raise InvalidValueError(name, value, "a number, [low, high] or [low, high, step]")
        return cls(*numbers)

    @property
    def values(self) -> NDArray[np.float64]:
        """All values, ascending, shape (k,)."""
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        exact = np.float64(self.low) + self.step * np.arange(count, dtype=np.float64)
        return exact.round(9)  # 0.1 + 2 * 0.1 is above a highest value of 0.3; Istio's durations end at nanoseconds


@dataclass(frozen=True, slots=True)
class ServiceProfile:
    """The service under test of the embedded mesh: replicas of limited capacity.

    Each replica takes ``service_time_ms`` for an answer, or ``spread_ms`` longer, and holds a bucket of
    ``burst`` tokens that refills by ``rate_per_s``; a call that finds the bucket empty is answered 503. The
    buckets are full at the start of every run.

    A weak replica has only a part of both: the outlier the mesh is there to eject. Standby replicas get
    calls only as ejections take away from the others (Istio's locality failover); they count among the
    replicas of which ``maxEjectionPercent`` is a share.

    Attributes:
        replicas: those in use, 1..64.
        service_time_ms: whole milliseconds, 0..1000.
        burst: calls a replica answers at once, 1..1000000.
        rate_per_s: calls a second it can go on answering, 1..1000000.
        mtls: mutual TLS between the client's sidecar and the replicas, as Istio's default.
        network_delay_ms: whole milliseconds each call spends on its way to the sidecar, 0..1000.
        proxy_workers: worker threads of the client's sidecar, 1..16 (Istio's default is 2).
        weak_replicas: how many of the replicas in use are weak, 0..replicas.
        weakness: burst and rate of a weak replica are one part in this many, at least 1; 1..1000.
        standby_replicas: replicas besides those in use, 0..64.
        spread_ms: whole milliseconds that one answer in two, by chance, takes longer, 0..1000.

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


@dataclass(frozen=True)
class Scenario:
    """Ranges, actions and the service under test.

    Attributes:
        name: what it is called in files and messages.
        rules: a :class:`Range` for each of the seven rules, in the order of ``RULE_NAMES``.
        load: the ranges of ``threads`` and ``calls`` that traces are collected over.
        actions: the values of ``threads`` and ``calls`` an agent chooses from, ascending.
        rows: how many runs a full trace set has.
        service: the embedded mesh's service; None where there is only a mesh of one's own.

    Raises:
        InvalidValueError: rules or loads that Istio or Fortio does not allow.
    """

    name: str
    rules: Mapping[str, Range]
    load: Mapping[str, Range]
    actions: Mapping[str, tuple[int, ...]]
    rows: int
    service: ServiceProfile | None = None

    def __post_init__(self) -> None:
        for corner in ("low", "high"):  # the types check what Istio and Fortio allow
            TrafficRules(**{name: getattr(span, corner) for name, span in self.rules.items()})
        threads = max(self.load["threads"].high, self.actions["threads"][-1])
        for calls in (self.load["calls"].low, self.actions["calls"][0]):
            Load(threads=int(threads), calls=int(calls))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Scenario:
        """Read a scenario from the sections of its TOML file, and its ``name``; the inverse of :meth:`to_dict`.

        Raises:
            InvalidValueError: a missing or unknown key, or a value out of range.
        """
        known = {"name", "rules", "load", "actions", "service", "rows"}
        if not set(document) <= known:
            unknown = sorted(set(document) - known)
            raise InvalidValueError(f"scenario {document.get('name')}", unknown, f"only {', '.join(sorted(known))}")
        name, rows = document.get("name"), document.get("rows", 5000)
        if not isinstance(name, str) or not name:
            raise InvalidValueError("name of a scenario", name, "a text")
        if type(rows) is not int or rows < 1:
            raise InvalidValueError("rows", rows, "a whole number, at least 1")
        return cls(
            name=name,
            rules={k: Range.parse(k, v) for k, v in _section(document, "rules", RULE_NAMES).items()},
            load={k: Range.parse(k, v) for k, v in _section(document, "load", LOAD_NAMES).items()},
            actions={k: _action_values(k, v) for k, v in _section(document, "actions", LOAD_NAMES).items()},
            rows=rows,
            service=_service(document["service"]) if "service" in document else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all of the scenario as plain values that JSON can hold."""
        document: dict[str, Any] = {
            "name": self.name,
            "rows": self.rows,
            "rules": {name: list(astuple(span)) for name, span in self.rules.items()},
            "load": {name: list(astuple(span)) for name, span in self.load.items()},
            "actions": {name: list(values) for name, values in self.actions.items()},
        }
        return document | ({} if self.service is None else {"service": asdict(self.service)})

    @property
    def ranges(self) -> dict[str, Range]:
        """All nine ranges, in the order of ``SETTING_NAMES``."""
        return {**self.rules, **self.load}

    def rule_grid(self) -> NDArray[np.float64]:
        """All combinations of rules, shape (rows, 7), in C order of the ranges (the last rule changes fastest)."""
        axes = [span.values for span in self.rules.values()]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _section(document: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """A TOML table that has exactly ``keys``."""
    section = document.get(name)
    if not isinstance(section, dict) or set(section) != set(keys):
        found = sorted(section) if isinstance(section, dict) else section
        raise InvalidValueError(f"section [{name}]", found, f"exactly the keys {', '.join(keys)}")
    return {key: section[key] for key in keys}


def _action_values(name: str, values: object) -> tuple[int, ...]:
    if (
        not isinstance(values, list)
        or not values
        or not all(type(value) is int for value in values)
        or values != sorted(set(values))
    ):
        raise InvalidValueError(f"actions.{name}", values, "a list of different whole numbers, ascending")
    return tuple(values)


def _service(table: object) -> ServiceProfile:
    names = {field.name for field in fields(ServiceProfile)}
    if not isinstance(table, dict) or not set(table) <= names:
        found = sorted(table) if isinstance(table, dict) else table
        raise InvalidValueError("section [service]", found, f"keys out of {', '.join(sorted(names))}")
    try:
        return ServiceProfile(**table)
    except TypeError as error:
        raise InvalidValueError("section [service]", sorted(table), str(error)) from None


def parse_scenario(name: str, text: str) -> Scenario:
    """A scenario from TOML text.

    Raises:
        InvalidValueError: not TOML, a missing or unknown key, a value out of range.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValueError(f"scenario {name}", str(error), "a TOML file", "See S1.toml for the form.") from None
    if "name" in document:
        raise InvalidValueError("key of a scenario file", "name", "no name; a scenario is called as its file is")
    return Scenario.from_dict({**document, "name": name})


@cache
def _bundled(name: str) -> Scenario:
    text = (resources.files("meshgym") / "data" / "scenarios" / f"{name}.toml").read_text("utf-8")
    return parse_scenario(name, text)


def load_scenario(scenario: str | Path | Scenario) -> Scenario:
    """``"S1"``..``"S5"``, the path of a TOML file, or a scenario itself.

    Raises:
        UnknownNameError: neither a bundled name nor an existing file.
        InvalidValueError: a file that is no scenario.
    """
    if isinstance(scenario, Scenario):
        return scenario
    if str(scenario) in SCENARIO_NAMES:
        return _bundled(str(scenario))
    path = Path(scenario)
    if path.suffix == ".toml" and path.is_file():
        return parse_scenario(path.stem, path.read_text("utf-8"))
    raise UnknownNameError("scenario", str(scenario), [*SCENARIO_NAMES, "a path to a .toml file"])

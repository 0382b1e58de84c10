"""Scenarios: the ranges of rules and load, the actions of an agent, and the service under test.

S1..S5 are the paper's (ranges of Table 4, actions of Table 6), as TOML files in ``meshgym/data/scenarios``; C1 is our
own, to control from interval to interval.
Your own file in the same form is a scenario too.
"""

from __future__ import annotations

import math
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import FileError, InvalidValueError, UnknownNameError
from meshgym.fields import LOADS, LOOPS, RULES
from meshgym.files import read_text, reading
from meshgym.rules.checks import mapping
from meshgym.rules.destination_rule import choose, read_file
from meshgym.rules.policy import given_rules, merge, traffic_policy
from meshgym.rules.schema import check_policy
from meshgym.service.own import Service, read_service, to_table
from meshgym.types import Load, Setting, TrafficRules

_LARGEST = sys.float_info.max
#: Values in one range.
MOST_VALUES = 1_000_000
#: A scenario's name becomes the name of folders and the first cell of tables.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SCENARIO_NAMES: tuple[str, ...] = ("S1", "S2", "S3", "S4", "S5")
#: The one whose rules are set from interval to interval.
CONTROL_SCENARIO = "C1"
BUNDLED_NAMES = (*SCENARIO_NAMES, CONTROL_SCENARIO)


@dataclass(frozen=True, slots=True)
class Range:
    """The values ``low, low + step, .., high``, both ends included; a single one if ``low == high``.

    Attributes:
        low, high: both ends, in the field's unit.
        step: the distance between two values, above 0.

    Raises:
        InvalidValueError: a number that isn't finite, ``low`` above ``high``, or ``step`` not above 0.
    """

    low: float
    high: float
    step: float = 1

    def __post_init__(self) -> None:
        if not (-_LARGEST <= self.low <= self.high <= _LARGEST and 0 < self.step <= _LARGEST):
            raise InvalidValueError(
                "range", [self.low, self.high, self.step], "[low, high] or [low, high, step], low <= high, step > 0"
            )
        if (float(self.high) - float(self.low)) / float(self.step) >= MOST_VALUES:
            remedy = "Give a larger step: [low, high, step]."
            raise InvalidValueError("range", [self.low, self.high, self.step], f"at most {MOST_VALUES} values", remedy)

    @classmethod
    def parse(cls, name: str, value: object) -> Range:
        """Read a range from a TOML value: a number (a single value), ``[low, high]`` or ``[low, high, step]``.

        Args:
            name: the name that errors give it.
            value: the TOML value.

        Raises:
            InvalidValueError: any other value.
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
        return exact.round(9)  # 0.1 + 2 * 0.1 would exceed a high of 0.3; Istio's durations have nanoseconds


@dataclass(frozen=True, slots=True)
class Control:
    """How runs follow one another where rules are set from interval to interval.

    Attributes:
        interval_s: seconds of an interval, 0.1..3600.
        intervals: of an episode, 2..10000.

    Raises:
        InvalidValueError: a value outside its range.
    """

    interval_s: float
    intervals: int

    def __post_init__(self) -> None:
        if type(self.interval_s) not in (int, float) or not 0.1 <= self.interval_s <= 3600:
            raise InvalidValueError("control.interval_s", self.interval_s, "seconds, 0.1..3600")
        if type(self.intervals) is not int or not 2 <= self.intervals <= 10_000:
            raise InvalidValueError("control.intervals", self.intervals, "a whole number 2..10000")


@dataclass(frozen=True)
class Scenario:
    """Ranges of rules and load, the actions of an agent, and the service under test.

    Attributes:
        name: as used in files and messages.
        rules: a :class:`Range` for each rule that varies, in the order of :data:`meshgym.fields.RULES`.
        load: the ranges of ``threads`` and ``calls`` in which traces are collected; in an open loop, of ``rate_per_s``
            and ``calls``.
        actions: the values of the same that an agent chooses from, ascending.
        rows: how many runs a complete trace set has.
        service: the service behind the embedded mesh; None if you bring your own mesh.
        base: the ``trafficPolicy`` of a DestinationRule that holds for all rules that don't vary.
        control: how runs follow one another; None where each is made afresh. Its loads are open loops.

    Raises:
        InvalidValueError: rules or loads that Istio or Fortio doesn't allow.
    """

    name: str
    rules: Mapping[str, Range]
    load: Mapping[str, Range]
    actions: Mapping[str, tuple[int, ...]]
    rows: int
    service: Service | None = None
    base: Mapping[str, Any] = field(default_factory=dict)
    control: Control | None = None

    def __post_init__(self) -> None:
        if self.base:
            check_policy(self.base)
        for corner in ("low", "high"):  # the types know what Istio and Fortio allow
            TrafficRules(**{name: getattr(span, corner) for name, span in self.rules.items()})
        pace = self.load_names[0]
        for end in (min, max):
            for calls in (self.load["calls"].low, self.actions["calls"][0]):
                self._load(end(self.load[pace].low, self.load[pace].high, *self.actions[pace]), calls)
        if self.control is not None and pace != LOOPS["open"][0]:
            raise InvalidValueError("section [control]", pace, f"loads with {LOOPS['open'][0]}")

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Scenario:
        """Read a scenario from its TOML file's sections and a ``name``; the inverse of :meth:`to_dict`.

        Raises:
            InvalidValueError: a missing or unknown key, or a value out of range.
        """
        known = {"name", "rules", "load", "actions", "service", "rows", "base", "control"}
        if not set(document) <= known:
            unknown = sorted(set(document) - known)
            raise InvalidValueError(f"scenario {document.get('name')}", unknown, f"only {', '.join(sorted(known))}")
        name, rows = document.get("name"), document.get("rows", 5000)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidValueError("name of a scenario", name, "at most 64 letters, digits, '.', '_' and '-'")
        if type(rows) is not int or not 1 <= rows <= MOST_VALUES:
            raise InvalidValueError("rows", rows, f"a whole number 1..{MOST_VALUES}")
        loop = LOOPS["open" if "rate_per_s" in mapping(document.get("load") or {}, "load") else "closed"]
        return cls(
            name=name,
            rules={k: Range.parse(k, _numbers(k, v)) for k, v in _rules(document).items()},
            load={k: Range.parse(k, v) for k, v in _section(document, "load", loop).items()},
            actions={k: _action_values(k, v) for k, v in _section(document, "actions", loop).items()},
            rows=rows,
            service=read_service(document["service"]) if "service" in document else None,
            base=mapping(document.get("base", {}), "base"),
            control=Control(**_section(document, "control", ("interval_s", "intervals")))
            if "control" in document
            else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the whole scenario as plain values that JSON can hold."""
        document: dict[str, Any] = {
            "name": self.name,
            "rows": self.rows,
            "rules": {name: list(astuple(span)) for name, span in self.rules.items()},
            "load": {name: list(astuple(span)) for name, span in self.load.items()},
            "actions": {name: list(values) for name, values in self.actions.items()},
        }
        document |= {"base": dict(self.base)} if self.base else {}
        document |= {"control": asdict(self.control)} if self.control else {}
        return document | ({} if self.service is None else {"service": to_table(self.service)})

    @property
    def rule_names(self) -> tuple[str, ...]:
        """The rules that vary, in the order of :data:`meshgym.fields.RULES`."""
        return tuple(self.rules)

    @property
    def load_names(self) -> tuple[str, ...]:
        """The two fields of its loads: the pace, which is ``threads`` or ``rate_per_s``, and ``calls``."""
        return tuple(self.load)

    @property
    def setting_names(self) -> tuple[str, ...]:
        """The columns of a setting: rules that vary, then the load."""
        return (*self.rules, *self.load)

    @property
    def ranges(self) -> dict[str, Range]:
        """The ranges of rules and load, in the order of :attr:`setting_names`."""
        return {**self.rules, **self.load}

    def rules_at(self, row: Any) -> TrafficRules:
        """Return the rules of one number each in ``row``, in the order of :attr:`rule_names`, and those of the base."""
        return given_rules(self.base).replace(**dict(zip(self.rules, map(float, row), strict=True)))

    def setting_at(self, row: Any) -> Setting:
        """Return the setting of one number each in ``row``, in the order of :attr:`setting_names`."""
        split = len(self.rules)
        return Setting(self.rules_at(row[:split]), self._load(*row[split:]))

    def _load(self, *values: Any) -> Load:
        return Load(**{name: LOADS[name].check(value) for name, value in zip(self.load, values, strict=True)})

    def policy(self, rules: TrafficRules) -> dict[str, Any]:
        """Return the whole ``trafficPolicy`` that is in force under ``rules``: the base with these values."""
        return merge(self.base, traffic_policy(rules))

    def rule_grid(self) -> NDArray[np.float64]:
        """Return all combinations of rules, shape (rows, rules), in C order (the last rule changes fastest)."""
        axes = [span.values for span in self.rules.values()]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _rules(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section of rules, in the order of the table."""
    section = document.get("rules")
    if not isinstance(section, dict) or not section:
        raise InvalidValueError("section [rules]", section, f"ranges for some of {', '.join(RULES)}")
    for name in section:
        if name not in RULES:
            raise UnknownNameError("key of section [rules]", name, [*RULES, "base"])
    return {name: section[name] for name in RULES if name in section}


def _numbers(name: str, value: object) -> object:
    """Return a rule's range with numbers for the names of choices, of which neighbours in the table can vary."""
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in names):
        return value
    numbers = sorted(RULES[name].check(one) for one in names)
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        remedy = f"Name neighbours among {', '.join(RULES[name].choices)}."
        raise InvalidValueError(name, value, "choices that stand side by side, each once", remedy)
    return [numbers[0], numbers[-1]]


def _section(document: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return a TOML table; check that it has exactly ``keys``."""
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


def parse_scenario(name: str, text: str, folder: Path = Path()) -> Scenario:
    """Read a scenario from TOML text.

    Args:
        name: its name.
        text: the contents of a TOML file.
        folder: where the file of the base DestinationRule lies, if the scenario has one.

    Raises:
        InvalidValueError: text that isn't TOML, a missing or unknown key, or a value out of range.
        FileError: the base can't be read.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise InvalidValueError(f"scenario {name}", str(error), "a TOML file", "See S1.toml for the form.") from None
    if "name" in document:
        raise InvalidValueError("key of a scenario file", "name", "no name; the file's own name is the scenario's")
    rules = document.get("rules")
    if isinstance(rules, dict) and "base" in rules:
        document["base"] = _base(rules.pop("base"), folder)
    return Scenario.from_dict({**document, "name": name})


def _base(file: object, folder: Path) -> dict[str, Any]:
    """Return the ``trafficPolicy`` in force by a file with a DestinationRule."""
    if not isinstance(file, str):
        raise InvalidValueError("rules.base", file, "the name of a file with a DestinationRule")
    return choose(read_file(folder / file)).policy


@cache
def _bundled(name: str) -> Scenario:
    text = (resources.files("meshgym") / "data" / "scenarios" / f"{name}.toml").read_text("utf-8")
    return parse_scenario(name, text)


def load_scenario(scenario: str | Path | Scenario) -> Scenario:
    """Return the scenario of a name ``"S1"``..``"S5"``, ``"C1"`` or of a TOML file; return a scenario as it is.

    Raises:
        UnknownNameError: neither a bundled name nor an existing file.
        InvalidValueError: a file that isn't a scenario.
    """
    if isinstance(scenario, Scenario):
        return scenario
    if str(scenario) in BUNDLED_NAMES:
        return _bundled(str(scenario))
    path = Path(scenario)
    if path.suffix == ".toml" and path.exists():
        with reading(path, "a scenario", FileError, "See S1.toml for the form."):
            text = read_text(path)
        return parse_scenario(path.stem, text, path.parent)
    raise UnknownNameError("scenario", str(scenario), [*BUNDLED_NAMES, "a path to a .toml file"])

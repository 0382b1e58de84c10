"""The vocabulary of everything else: traffic rules, a load, and the response to both.

The ranges are those of the tables in :mod:`meshgym.fields`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.fields import INT32_MAX, LOADS, LOOPS, OUTCOMES, RULES

#: ``progress(done, total)``, called as work goes on.
Progress = Callable[[int, int], None]

#: The paper's seven rules (Table 1).
RULE_NAMES: tuple[str, ...] = tuple(RULES)[:7]
#: The fields of the paper's loads.
LOAD_NAMES: tuple[str, ...] = LOOPS["closed"]
#: Columns of a settings matrix where the paper's rules vary, shape (n, 9): the simulator's input (paper, Fig. 3).
SETTING_NAMES: tuple[str, ...] = RULE_NAMES + LOAD_NAMES
#: The outcomes that every mesh tells (paper, Sec. 4.1).
RESPONSE_NAMES: tuple[str, ...] = tuple(OUTCOMES)[:3]
#: How the calls of an open loop are spread.
ARRIVALS = ("constant", "poisson")
#: Of an open loop: calls per second, and seconds.
_MOST_OPEN = 1_000_000
#: Fortio's connections in an open loop.
_LEAST_OPEN, _MOST_CONNECTIONS = 8, 256


@dataclass(frozen=True, slots=True, init=False, repr=False)
class TrafficRules:
    """Values of fields of Istio's DestinationRule and VirtualService, in the units of :data:`meshgym.fields.RULES`.

    Every row of that table is an attribute: a number, or None if the field isn't given. A field that isn't given
    stays as it is where the rules are put in force. Zero isn't allowed where istiod reads it as "not set"::

        rules = TrafficRules(max_connections=100, http1_max_pending_requests=10, consecutive_5xx_errors=5)
        rules.max_connections  # 100
        rules.interval_s  # None

    Args:
        values: the first fields, in the order of the table.
        named: further fields; None for one that isn't given.

    Raises:
        InvalidValueError: a field outside its range.
        UnknownNameError: no such field.
    """

    _given: tuple[tuple[str, float], ...]

    def __init__(self, *values: float | None, **named: float | None) -> None:
        given = dict(zip(RULES, values, strict=False))
        for name in named:
            if name not in RULES:
                raise UnknownNameError("rule", name, RULES)
            if name in given:
                raise InvalidValueError(name, named[name], "one value")
        given |= named
        checked = [(name, field.check(given[name])) for name, field in RULES.items() if given.get(name) is not None]
        object.__setattr__(self, "_given", tuple(checked))

    def __getattr__(self, name: str) -> Any:
        if name not in RULES:
            raise AttributeError(f"TrafficRules has no field {name!r}")
        return dict(self._given).get(name)

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *RULES]

    def __repr__(self) -> str:
        return f"TrafficRules({', '.join(f'{name}={value}' for name, value in self._given)})"

    def replace(self, **changes: float | None) -> TrafficRules:
        """Return the same rules with some fields changed; None takes one away."""
        return TrafficRules(**{**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, float]:
        """Return names and values of the fields that are given, in the order of the table."""
        return dict(self._given)


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: a closed loop of ``threads`` and ``calls``, or an open one of ``rate_per_s`` and ``duration_s``.

    In a closed loop, Fortio's ``-c`` and ``-n``, each thread sends its next call when the last has ended; so a service
    that is slow slows the load down. In an open loop it is fixed beforehand when each call is due, whatever the service
    does.

    Attributes:
        threads: connections that send one request after the other, 1..4096; 0 in an open loop.
        calls: requests in total, at least ``2 * threads`` (below that Fortio's loop overshoots); in an open loop,
            instead of a duration, or else ``rate_per_s * duration_s``.
        rate_per_s: requests that are due per second, above 0; 0 in a closed loop.
        duration_s: seconds in which they are due, above 0; 0 in a closed loop.
        arrivals: ``"constant"`` or ``"poisson"``, how they are spread over the duration.
        seed: of a Poisson process.

    Raises:
        InvalidValueError: a field outside its range, or fields of both.
    """

    threads: int = 0
    calls: int = 0
    rate_per_s: float = 0.0
    duration_s: float = 0.0
    arrivals: str = "constant"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.open:
            object.__setattr__(self, "threads", LOADS["threads"].check(self.threads))
            object.__setattr__(self, "calls", LOADS["calls"].check(self.calls, low=2 * self.threads))
            return
        if self.threads or (self.calls and self.duration_s and self.calls != round(self.rate_per_s * self.duration_s)):
            remedy = "Give rate_per_s, and duration_s or calls, for an open loop; threads and calls for a closed one."
            raise InvalidValueError("threads and calls", [self.threads, self.calls], "none in an open loop", remedy)
        if self.calls and self.rate_per_s > 0:
            object.__setattr__(self, "duration_s", LOADS["calls"].check(self.calls) / self.rate_per_s)
        for name in ("rate_per_s", "duration_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST_OPEN:
                raise InvalidValueError(name, value, f"a number above 0, at most {_MOST_OPEN}")
        if self.arrivals not in ARRIVALS:
            raise UnknownNameError("arrivals", self.arrivals, ARRIVALS)
        calls = round(self.rate_per_s * self.duration_s)
        if not 1 <= calls <= INT32_MAX:
            raise InvalidValueError("rate_per_s * duration_s", calls, f"1..{INT32_MAX} calls")
        object.__setattr__(self, "calls", calls)

    @property
    def open(self) -> bool:
        """Whether it is an open loop."""
        return bool(self.rate_per_s or self.duration_s)

    @property
    def names(self) -> tuple[str, ...]:
        """Its fields in trace sets: its pace, and ``calls``."""
        return LOOPS["open" if self.open else "closed"]

    @property
    def connections(self) -> int:
        """Connections that Fortio sends it on: its threads; in an open loop, one for each call per second, 8..256."""
        if not self.open:
            return self.threads
        return min(max(math.ceil(self.rate_per_s), _LEAST_OPEN), _MOST_CONNECTIONS, max(self.calls // 2, 1))

    def to_dict(self) -> dict[str, Any]:
        """Return names and values, from which the same load can be made."""
        if not self.open:
            return {name: getattr(self, name) for name in self.names}
        drawn = {"arrivals": self.arrivals, "seed": self.seed} if self.arrivals != "constant" else {}
        return {"rate_per_s": self.rate_per_s, "duration_s": self.duration_s, **drawn}


class _Response(NamedTuple):
    qps: Any
    p200: Any
    p503: Any
    qps_std: Any = math.nan
    p503_std: Any = math.nan
    outside: Any = False
    details: Mapping[str, Any] | None = None


class Response(_Response):
    """What a mesh returned, or is expected to return, for one setting or for many.

    Every attribute but ``details`` is a float for one setting, an array of shape (n,) for n settings.
    ``Response._make(values)`` skips the checks.

    Attributes:
        qps: requests per second, those with a 503 included (Fortio's ActualQPS), 0 and above.
        p200: share of requests that returned 200, 0..1.
        p503: share of requests that returned 503, 0..1.
        qps_std: standard deviation of single runs around ``qps``, in 1/s; NaN where nobody predicts it.
        p503_std: the same around ``p503``, as a share.
        outside: whether a simulator had to extrapolate, because its traces don't cover the setting.
        details: what else a real mesh counted in a run, by trace column name (see
            :data:`meshgym.traces.schema.COLUMNS`), or the further outcomes that a simulator predicts, by their names
            (see :data:`meshgym.fields.OUTCOMES`); None if there is nothing else.

    Raises:
        InvalidValueError: a value of ``qps``, ``p200`` or ``p503`` outside its range, or NaN.
    """

    __slots__ = ()

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Check the values; arguments as the attributes, in their order."""
        response = super().__new__(cls, *values, **named)
        for name, value in zip(RESPONSE_NAMES, response, strict=False):
            OUTCOMES[name].check_many(value)
        return response

    def to_dict(self) -> dict[str, float]:
        """Return outcomes and details as one flat dictionary: the right half of a trace row."""
        return {**dict(zip(RESPONSE_NAMES, self, strict=False)), **(self.details or {})}


def further_outcomes(columns: Mapping[str, Any], calls: Any) -> dict[str, Any]:
    """Return the outcomes besides the first three that columns of traces tell, by name.

    Args:
        columns: numbers or arrays by trace column, such as the ``details`` of a real mesh's response.
        calls: how many requests were sent.
    """
    found = {}
    for name in tuple(OUTCOMES)[len(RESPONSE_NAMES) :]:
        counted = OUTCOMES[name].counted
        if counted in columns:
            found[name] = columns[counted] / calls
        elif name in columns:
            found[name] = columns[name]
    return found


@dataclass(frozen=True, slots=True)
class Setting:
    """Rules and load together."""

    rules: TrafficRules
    load: Load

    @classmethod
    def from_row(cls, row: Any, names: Sequence[str] = SETTING_NAMES) -> Self:
        """Make a setting from one number for each of ``names``."""
        values = dict(zip(names, map(float, row), strict=True))
        load = {name: values.pop(name) for name in LOADS if name in values}
        return cls(TrafficRules(**values), Load(**load))  # type: ignore[arg-type]

    def to_row(self, names: Sequence[str] = SETTING_NAMES) -> list[float]:
        """Return one number for each of ``names``.

        Raises:
            InvalidValueError: rules or load don't give one of them.
        """
        values = {**self.rules.to_dict(), **{name: getattr(self.load, name) for name in self.load.names}}
        missing = [name for name in names if name not in values]
        if missing:
            part = "load" if missing[0] in LOADS else "rules"
            raise InvalidValueError(part, getattr(self, part), f"{part} that also give {', '.join(missing)}")
        return [float(values[name]) for name in names]


def check_settings(settings: Any, names: Sequence[str] = SETTING_NAMES) -> NDArray[np.float64]:
    """Return a matrix of settings as float64, shape (n, columns), one column for each of ``names``.

    Raises:
        InvalidValueError: another shape, or a number that isn't finite.
    """
    matrix: NDArray[np.float64] = np.asarray(settings, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != len(names):
        raise InvalidValueError("shape of settings", matrix.shape, f"(n, {len(names)}): {', '.join(names)}")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise InvalidValueError(f"row {row} of settings", matrix[row].tolist(), "finite numbers")
    return matrix

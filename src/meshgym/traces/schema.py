"""The columns of a trace set, and what must be true across them.

One row is one run: rules and load on the left, what happened on the right.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshgym.fields import INT32_MAX, LOADS, OUTCOMES, RULES, Field, Kind
from meshgym.mesh.load.latency import PERCENTILES, enough
from meshgym.types import RESPONSE_NAMES


def _table(unit: str, kind: Kind, *, low: int = 0, **docs: str) -> dict[str, Field]:
    high = INT32_MAX if kind == "whole" else sys.float_info.max
    return {name: Field(name, unit, kind, low, high, doc) for name, doc in docs.items()}


#: Version of how runs are made and what is noted of them. Since 2, the first thread sends the calls that don't divide,
#: and latencies are those of the 200s.
DATA_VERSION = "2"
#: What can become of a request. A mesh that counts these counts every request once.
COUNTS: dict[str, Field] = _table(
    "requests",
    "whole",
    ok="requests that returned 200",
    overflow="503: no room for another connection or pending request (Envoy flag UO)",
    no_healthy_host="503: every replica is ejected (Envoy flag UH)",
    upstream_error="503 from a replica",
    other_error="another status, or no response at all",
)
#: What else a mesh may measure in a run. Latencies are those of requests that returned 200 alone: a quick 503 would
#: make them look better as things break. One that rests on too few of them is left out.
DETAILS: dict[str, Field] = {
    **COUNTS,
    **_table(
        "requests",
        "whole",
        reset="among upstream_error: the connection failed, or was reset (Envoy flags UF, UC, UR, LR)",
        timeout="among other_error: no response in time (Envoy flag UT)",
    ),
    **{name: OUTCOMES[name] for name in PERCENTILES},
    **_table("s", "number", duration_s="time from the first request to the last response"),
    **_table("s", "number", late_p99_s="99th percentile of how late calls of an open loop were sent"),
    **_table("ejections", "whole", ejections="replicas ejected during the run"),
    **_table("replicas", "whole", ejected="replicas that were ejected when the run was over"),
    **_table("connections", "whole", connected="connections to the service that were open when the run was over"),
    **_table("s", "number", overhead_s="time beyond the load: to apply rules and read counters"),
}
#: Columns of sets that were taken before latencies were those of the 200s.
FORMER: dict[str, Field] = _table(
    "ms",
    "number",
    latency_p50_ms="median latency of all requests, 503s included",
    latency_p99_ms="99th percentile of the same",
)
#: Which run a row is.
BOOKKEEPING: dict[str, Field] = {
    **_table("", "whole", repeat="0 for the first run of a setting, 1 and above for its repeats"),
    **_table("", "whole", lane="number of the lane, if several settings are measured at once"),
    **_table("", "whole", low=1, attempt="1 for the first attempt, 2 and above after failed ones"),
    **_table("", "whole", run="number in the shuffled plan"),
    **_table(
        "",
        "whole",
        asked="why an adaptive plan made this run: 0 to cover the ranges, 1 for its goal, 2 to repeat it",
    ),
}
#: All details that a set may have, in file order.
EVERY_DETAIL: dict[str, Field] = {**COUNTS, **FORMER, **DETAILS}
#: Every column that a trace set may have, in file order.
COLUMNS: dict[str, Field] = {
    **RULES,
    **LOADS,
    **{name: OUTCOMES[name] for name in RESPONSE_NAMES},
    **EVERY_DETAIL,
    **BOOKKEEPING,
}
#: Columns that every trace set has, besides those of the rules that vary and of the pace.
REQUIRED: tuple[str, ...] = ("calls", *RESPONSE_NAMES)


class Fact(NamedTuple):
    """What is true of every run, or of all runs together.

    Attributes:
        says: the fact in words.
        columns: what it is about; a set without one of them can't be checked. Empty for settings and outcomes.
        holds: takes the columns, each of shape (n,), and returns where it is true, shape (n,).
        unless: a column that says it better.
    """

    says: str
    columns: tuple[str, ...]
    holds: Callable[..., NDArray[np.bool_]]
    unless: str = ""


def _near(one: Any, other: Any, tolerance: float = 2e-6) -> NDArray[np.bool_]:
    """Return where numbers are equal, but for the sixth decimal, which files round."""
    return np.asarray(np.abs(one - other) <= tolerance)


def _new(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where values haven't stood in an earlier row."""
    first = np.unique(np.column_stack(columns), axis=0, return_index=True)[1]
    return np.isin(np.arange(len(columns[0])), first)


def _ascending(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the first is at most the second, or one of them is left out."""
    return np.asarray((one <= other) | np.isnan(one) | np.isnan(other))


def _rests_on(rank: int) -> Callable[..., NDArray[np.bool_]]:
    return lambda ok, latency: np.asarray(np.isnan(latency) != enough(ok, rank))


_503S = ("overflow", "no_healthy_host", "upstream_error")
#: A damaged or mixed-up set shows here: swapped columns, lines that stand twice, numbers cut short.
FACTS: tuple[Fact, ...] = (
    Fact("p200 and p503 are at most 1 together", ("p200", "p503"), lambda a, b: a + b <= 1 + 2e-6),
    Fact("every request is counted once", ("calls", *COUNTS), lambda calls, *counts: sum(counts) == calls),
    Fact("p200 is ok / calls", ("p200", "ok", "calls"), lambda p200, ok, calls: _near(p200, ok / calls)),
    Fact("p503 is the 503s / calls", ("p503", *_503S, "calls"), lambda p, *c: _near(p, sum(c[:-1]) / c[-1])),
    Fact(
        "qps is calls / duration_s",
        ("qps", "calls", "duration_s"),
        lambda qps, calls, seconds: _near(qps * seconds / calls, 1, 0.01),
    ),
    *(
        Fact("percentiles of the latency ascend", columns, _ascending)
        for columns in (
            ("latency_p50_s", "latency_p90_s"),
            ("latency_p90_s", "latency_p99_s"),
            ("latency_p50_ms", "latency_p99_ms"),
        )
    ),
    *(
        Fact(f"{name} is left out where, and only where, it would rest on too few 200s", ("ok", name), _rests_on(rank))
        for name, rank in PERCENTILES.items()
    ),
    Fact("resets are among the upstream errors", ("reset", "upstream_error"), np.less_equal),
    Fact("timeouts are among the other errors", ("timeout", "other_error"), np.less_equal),
    Fact("a thread makes at least two calls", ("threads", "calls"), lambda threads, calls: calls >= 2 * threads),
    Fact("each run stands once", ("run",), _new),
    Fact("no run stands twice (number them in a column run, if two came out alike)", (), _new, unless="run"),
)

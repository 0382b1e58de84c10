"""The columns of a trace set. One row is one run: rules and load on the left, what happened on the right."""

from __future__ import annotations

import sys

from meshgym.fields import INT32_MAX, LOADS, OUTCOMES, RULES, Field, Kind
from meshgym.types import RESPONSE_NAMES, SETTING_NAMES


def _table(unit: str, kind: Kind, *, low: int = 0, **docs: str) -> dict[str, Field]:
    high = INT32_MAX if kind == "whole" else sys.float_info.max
    return {name: Field(name, unit, kind, low, high, doc) for name, doc in docs.items()}


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
#: What else a mesh may measure in a run.
DETAILS: dict[str, Field] = {
    **COUNTS,
    **_table("ms", "number", latency_p50_ms="median latency", latency_p99_ms="99th percentile of the latency"),
    **_table("s", "number", duration_s="time from the first request to the last response"),
    **_table("ejections", "whole", ejections="replicas ejected during the run"),
    **_table("s", "number", overhead_s="time beyond the load: to apply rules and read counters"),
}
#: Which run a row is.
BOOKKEEPING: dict[str, Field] = {
    **_table("", "whole", repeat="0 for the first run of a setting, 1 and above for its repeats"),
    **_table("", "whole", lane="number of the lane, if several settings are measured at once"),
    **_table("", "whole", low=1, attempt="1 for the first attempt, 2 and above after failed ones"),
    **_table("", "whole", run="number in the shuffled plan"),
}
#: Every column that a trace set may have, in file order.
COLUMNS: dict[str, Field] = {**RULES, **LOADS, **OUTCOMES, **DETAILS, **BOOKKEEPING}
#: Columns that every trace set has.
REQUIRED: tuple[str, ...] = SETTING_NAMES + RESPONSE_NAMES

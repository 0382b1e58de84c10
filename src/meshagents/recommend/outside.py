"""What a question asks beyond the traces, and the nearest that was measured: outside them there is no number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshgym.fields import INT32_MAX, RULES, UINT32_MAX
from meshgym.rules.policy import traffic_rules
from meshgym.scenarios import Range, Scenario
from meshgym.types import Load, TrafficRules


def outside_traces(scenario: Scenario, policy: Mapping[str, Any], loads: tuple[Load, ...] = ()) -> list[str]:
    """Say which fields lie outside the traces of a scenario.

    Args:
        scenario: what was measured.
        policy: the ``trafficPolicy`` that is asked about.
        loads: the loads that are asked about.

    Returns:
        A phrase for each field: a rule or load outside its range, or a rule that the traces hold fixed at another
        value. Rules that can't decide an outcome are left out.
    """
    asked = traffic_rules(policy, scenario.rules).to_dict()
    found = [phrase for name, span in scenario.rules.items() for phrase in _beyond(name, asked.get(name), span)]
    found += fixed_otherwise(scenario, policy)
    for name, span in scenario.load.items():
        for value in sorted({getattr(load, name) for load in loads}):
            found += _beyond(name, value, span)
    return found


def fixed_otherwise(scenario: Scenario, policy: Mapping[str, Any]) -> list[str]:
    """Say which rules the traces hold fixed at another value than a ``trafficPolicy``."""
    names = [name for name, field in RULES.items() if field.decides and name not in scenario.rules]
    asked, base = (traffic_rules(one, names).to_dict() for one in (policy, scenario.base))
    return [
        f"{name} is {in_words(asked.get(name))}, and the traces have {in_words(base.get(name))}"
        for name in names
        if asked.get(name) != base.get(name)
    ]


def _beyond(name: str, value: float | None, span: Range) -> list[str]:
    if value is not None and span.low <= value <= span.high:
        return []
    return [f"{name} is {in_words(value)}, and the traces have {span.low:g}..{span.high:g}"]


def in_words(value: float | None) -> str:
    """Return a value in words."""
    return "no limit" if value in (INT32_MAX, UINT32_MAX) else "not set" if value is None else f"{value:g}"


def nearest_rules(scenario: Scenario, rules: TrafficRules) -> TrafficRules:
    """Return the scenario's rules whose values are nearest to ``rules``."""
    row = []
    for name, span in scenario.rules.items():
        value = getattr(rules, name)
        values = span.values
        row.append(float(values[abs(values - (values[-1] if value is None else value)).argmin()]))
    return scenario.rules_at(row)

"""The tables of fields, and that the types stand for their rows."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from meshgym.errors import InvalidValueError
from meshgym.fields import LOADS, OUTCOMES, RULES, Field
from meshgym.types import RESPONSE_NAMES, Load, Response, TrafficRules

ROWS = {**RULES, **LOADS, **OUTCOMES}


def test_types_have_an_attribute_for_each_row() -> None:
    assert all(getattr(TrafficRules(), name) is None for name in RULES)
    assert set(RULES) <= set(dir(TrafficRules()))
    assert set(LOADS) <= {field.name for field in fields(Load)}
    assert Response._fields[: len(RESPONSE_NAMES)] == RESPONSE_NAMES == tuple(OUTCOMES)[: len(RESPONSE_NAMES)]


def test_docstrings_describe_each_row_in_its_words() -> None:
    for kind, rows in ((Load, LOADS.values()), (Response, [OUTCOMES[name] for name in RESPONSE_NAMES])):
        prose = " ".join((kind.__doc__ or "").split())
        for field in rows:
            assert f"{field.name}: {field.doc}" in prose


@pytest.mark.parametrize("field", RULES.values(), ids=RULES)
def test_rules_stand_in_a_destination_rule_and_in_a_cluster(field: Field) -> None:
    parts = ("connectionPool", "outlierDetection", "retryBudget", "loadBalancer", "timeout", "retries")
    assert (field.destination_rule or field.virtual_service).split(".")[0] in parts
    assert bool(field.destination_rule) != bool(field.virtual_service)
    assert field.since
    assert field.doc
    for absent in (field.absent, field.absent_section, field.absent_envoy, field.absent_gateway):
        assert absent is None or absent != absent or field.check(absent) == absent
    assert len(field.choices) == (field.high + 1 if field.kind == "choice" else 0)


@pytest.mark.parametrize("field", ROWS.values(), ids=ROWS)
def test_both_ends_of_a_range_are_allowed_and_nothing_beyond(field: Field) -> None:
    for end in (field.low, field.high):
        assert field.check(end) == end
        field.check_many(np.array([end]))
    for beyond in (field.low - 1, np.inf, np.nan):
        with pytest.raises(InvalidValueError, match=field.name):
            field.check(beyond)
        with pytest.raises(InvalidValueError, match=field.name):
            field.check_many([field.low, beyond])

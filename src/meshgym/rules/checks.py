"""Checks of single values in a manifest, from which :mod:`meshgym.rules.schema` is made.

Each names the path of the field, its value, and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.fields import LONGEST_S, OF_DESTINATION_RULE, whole_milliseconds
from meshgym.rules.policy import seconds

#: ``check(path, value)`` raises if the field at ``path`` may not have ``value``.
Check = Callable[[str, object], None]
#: A check of a field, or those of each field of a mapping.
Schema = Check | Mapping[str, Any]


def mapping(value: object, path: str) -> dict[str, Any]:
    """Return a mapping.

    Raises:
        InvalidValueError: it is something else.
    """
    if not isinstance(value, dict):
        raise InvalidValueError(path, value, "a mapping of fields to values")
    return value


def check_value(value: object, allowed: Schema, path: str) -> None:
    """Check a field, or each field of a mapping."""
    if callable(allowed):
        allowed(path, value)
        return
    for name, inner in mapping(value, path).items():
        if name == "consecutiveErrors":
            remedy = "It is deprecated and does nothing; write consecutive5xxErrors."
            raise InvalidValueError(f"{path}.{name}", inner, "not this field", remedy)
        if name not in allowed:
            raise _unknown(name, allowed, path)
        check_value(inner, allowed[name], f"{path}.{name}")


def _unknown(name: str, allowed: Mapping[str, Any], path: str) -> InvalidValueError:
    """Return the error of an unknown field; if it stands elsewhere, the message says where."""
    places = [
        field.destination_rule for field in OF_DESTINATION_RULE.values() if field.destination_rule.endswith(f".{name}")
    ]
    if places:
        remedy = f"It belongs into {' or '.join(place.rpartition('.')[0] for place in places)}."
        return InvalidValueError(f"{path}.{name}", "here", ", ".join(sorted(allowed)), remedy)
    return UnknownNameError(f"field of {path}", name, allowed)


def whole(high: float, low: float = 0) -> Check:
    """Make a check for a whole number; a number in quotes gets a remedy."""

    def check(path: str, value: object) -> None:
        if type(value) is not int or not low <= value <= high:
            quoted = isinstance(value, str) and value.lstrip("-").isdigit()
            raise InvalidValueError(
                path, value, f"a whole number {low:.0f}..{high:.0f}", "Remove the quotes." if quoted else ""
            )

    return check


def number(low: float, high: float) -> Check:
    """Make a check for a number of a range."""

    def check(path: str, value: object) -> None:
        if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
            raise InvalidValueError(path, value, f"a number {low:g}..{high:g}")

    return check


def duration(low: float) -> Check:
    """Make a check for a duration of at least ``low`` seconds, as Kubernetes and istiod take them."""

    def check(path: str, value: object) -> None:
        found = seconds(value, path)
        if found > LONGEST_S:
            raise InvalidValueError(path, value, "at most 292 years, the longest duration of Kubernetes")
        if found and (found < 0.001 or not whole_milliseconds(found)):
            raise InvalidValueError(path, value, "at least 1ms, and whole milliseconds")
        if found < low:
            raise InvalidValueError(path, value, "at least 1ms")

    return check


def flag(path: str, value: object) -> None:
    """Check that a value is true or false."""
    if type(value) is not bool:
        raise InvalidValueError(path, value, "true or false, without quotes")


def text(path: str, value: object) -> None:
    """Check that a value is text."""
    if not isinstance(value, str):
        raise InvalidValueError(path, value, "text", "Put it in quotes." if not isinstance(value, dict | list) else "")


def one_of(*choices: str) -> Check:
    """Make a check for one of some words."""

    def check(path: str, value: object) -> None:
        if value not in choices:
            raise UnknownNameError(path, value, choices)

    return check


def list_of(schema: Schema) -> Check:
    """Make a check for a list whose items all have a schema."""

    def check(path: str, value: object) -> None:
        if not isinstance(value, list):
            raise InvalidValueError(path, value, "a list")
        for number, inner in enumerate(value):
            check_value(inner, schema, f"{path}[{number}]")

    return check


def map_of(schema: Check) -> Check:
    """Make a check for a mapping from text to values that all pass a check."""

    def check(path: str, value: object) -> None:
        for key, inner in mapping(value, path).items():
            text(path, key)
            schema(f"{path}.{key}", inner)

    return check


def matching(pattern: str, allowed: str) -> Check:
    """Make a check for text of at most 253 characters that a pattern matches."""

    def check(path: str, value: object) -> None:
        if not isinstance(value, str) or len(value) > 253 or not re.fullmatch(pattern, value):
            raise InvalidValueError(path, value, allowed)

    return check

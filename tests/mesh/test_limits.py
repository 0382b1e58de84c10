"""Limits on calls."""

import math

import pytest

from meshgym.errors import InvalidValueError
from meshgym.mesh.limits import CallLimits


def test_limits_hold_for_a_run_and_in_total() -> None:
    limits = CallLimits(max_calls_per_step=50, max_calls=90)
    limits.check(50)
    with pytest.raises(InvalidValueError, match=r"calls is 51; allowed: at most max_calls_per_step=50\. Raise"):
        limits.check(51)
    limits.sent += 50
    limits.check(40)
    with pytest.raises(InvalidValueError, match="calls is 41; allowed: at most max_calls=90 in all, of which 50 are"):
        limits.check(41)


def test_nothing_passes_a_limit_of_nan() -> None:
    for limits in (CallLimits(math.nan, 10), CallLimits(10, math.nan)):  # type: ignore[arg-type]
        with pytest.raises(InvalidValueError, match="nan"):
            limits.check(1)

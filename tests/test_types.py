"""Rules, loads and responses refuse what Istio, Fortio or arithmetic do not allow."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.types import SETTING_NAMES, Load, Response, Setting, TrafficRules

GOOD = {
    "http1_max_pending_requests": 1,
    "max_connections": 1,
    "max_requests_per_connection": 1,
    "base_ejection_time_s": 180,
    "max_ejection_percent": 100,
    "interval_s": 1,
    "consecutive_5xx_errors": 1,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http1_max_pending_requests", 0),  # istiod reads 0 as not set
        ("max_connections", 2**31),
        ("max_connections", 1.5),
        ("max_connections", "3"),
        ("max_connections", True),
        ("max_requests_per_connection", -1),
        ("base_ejection_time_s", 0),
        ("base_ejection_time_s", math.inf),
        ("interval_s", math.nan),
        ("interval_s", "1s"),
        ("max_ejection_percent", 101),
        ("consecutive_5xx_errors", -1),
    ],
)
def test_a_rule_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(InvalidValueError, match=name):
        TrafficRules(**{**GOOD, name: value})


@pytest.mark.parametrize(("threads", "calls"), [(0, 10), (4097, 10_000), (5, 9), (1.5, 10), (1, math.nan)])
def test_a_load_out_of_range_is_refused(threads, calls):
    with pytest.raises(InvalidValueError):
        Load(threads, calls)


@pytest.mark.parametrize("values", [(-1, 0, 0), (math.nan, 0, 0), (math.inf, 0, 0), (1, 1.1, 0), (1, 0, math.nan)])
def test_a_response_out_of_range_is_refused(values):
    with pytest.raises(InvalidValueError):
        Response(*values)


def test_many_responses_are_checked_as_one_is():
    Response(qps=np.array([1.0, 2.0]), p200=np.array([1, 0.5]), p503=np.array([0, 0.5]))
    with pytest.raises(InvalidValueError, match=r"p503 is 1.5; allowed: a share 0..1"):
        Response(qps=np.array([1.0, 2.0]), p200=np.array([1, 0.5]), p503=np.array([0, 1.5]))
    assert Response._make([-1, 2, 3, 0, 0, False, None]).qps == -1  # the fast path trusts


def test_a_response_survives_pickling():
    response = Response(10.0, 0.5, 0.25, details={"ok": 5})
    thawed = pickle.loads(pickle.dumps(response))
    assert type(thawed) is Response
    assert thawed.to_dict() == {"qps": 10.0, "p200": 0.5, "p503": 0.25, "ok": 5}


@given(
    pool=st.tuples(*[st.integers(1, 2**31 - 1)] * 3),
    times=st.tuples(*[st.integers(1, 10**9).map(lambda milliseconds: milliseconds / 1000)] * 2),
    percent=st.integers(1, 100),
    errors=st.integers(0, 2**31 - 1),
    threads=st.integers(1, 4096),
    calls=st.integers(8192, 2**31 - 1),
)
def test_a_setting_survives_the_way_through_a_row(pool, times, percent, errors, threads, calls):
    setting = Setting(TrafficRules(*pool, times[0], percent, times[1], errors), Load(threads, calls))
    row = np.array(setting.to_row())
    assert row.shape == (len(SETTING_NAMES),)
    assert Setting.from_row(row) == setting


def test_errors_name_value_allowed_and_remedy_and_cross_processes():
    error = UnknownNameError("control", "call", ["calls", "threads"])
    assert str(error) == "control is 'call'; allowed: calls, threads. Did you mean 'calls'?"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    refused = InvalidValueError("rows", 0, "at least 1", "Give more.")
    assert str(pickle.loads(pickle.dumps(refused))) == "rows is 0; allowed: at least 1. Give more."

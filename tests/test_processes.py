"""Loads that go up and down: within the range, by seed, from a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgym.errors import FileError, InvalidValueError, UnknownNameError
from meshgym.processes import PROCESSES, draw_rates, load_process
from meshgym.scenarios import Range

SPAN = Range(20, 200, 4)


@given(st.sampled_from(sorted(PROCESSES)), st.integers(1, 60), st.integers(0, 2**32))
def test_rates_are_values_of_the_range_and_follow_from_the_seed(name, intervals, seed):
    rates, again = (draw_rates(load_process(name), np.random.default_rng(seed), intervals, SPAN) for _ in range(2))
    assert rates.shape == (intervals,)
    assert np.isin(rates, SPAN.values).all()
    assert np.array_equal(rates, again)


def test_each_does_what_its_name_says():
    drawn = {
        name: np.array([draw_rates(PROCESSES[name], np.random.default_rng(s), 48, SPAN) for s in range(200)])
        for name in PROCESSES
    }
    assert (np.ptp(drawn["constant"], axis=1) == 0).all()
    steps = np.diff(drawn["ramp"], axis=1)
    assert ((steps >= 0).all(axis=1) | (steps <= 0).all(axis=1)).all()
    assert (np.ptp(drawn["ramp"], axis=1) > 0).mean() > 0.9
    daily = drawn["daily"]
    assert np.corrcoef(daily[:, 0], daily[:, 24])[0, 1] > 0.9  # a day later
    assert np.corrcoef(daily[:, 0], daily[:, 12])[0, 1] < -0.9  # by night
    high = drawn["burst"] >= 140
    assert 0.2 < high.mean() < 0.5
    assert (drawn["burst"][~high] <= 80).all()


def test_a_recorded_load_begins_anywhere_and_goes_round(tmp_path):
    path = tmp_path / "load.csv"
    path.write_text("time,rate_per_s\n0,20\n1,60\n2,100\n")
    drawn = [draw_rates(load_process(path), np.random.default_rng(s), 7, SPAN).tolist() for s in range(20)]
    turns = [[20, 60, 100, 20, 60, 100, 20], [60, 100, 20, 60, 100, 20, 60], [100, 20, 60, 100, 20, 60, 100]]
    assert {tuple(one) for one in drawn} == {tuple(one) for one in turns}


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("rate_per_s\n", FileError, "no rows"),
        ("rate\n20\n", FileError, "rate_per_s"),
        ("rate_per_s\n20\nmany\n", InvalidValueError, "row 2 of .* is 'many'"),
        ("rate_per_s\n20\n400\n", InvalidValueError, r"400\.0; allowed: rates 20..200"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, text, error, said):
    path = tmp_path / "load.csv"
    path.write_text(text)
    with pytest.raises(error, match=said):
        draw_rates(load_process(path), np.random.default_rng(0), 5, SPAN)


def test_a_process_of_ones_own():
    assert draw_rates(load_process(lambda g, n, span: np.full(n, 21.0)), None, 3, SPAN).tolist() == [20, 20, 20]
    with pytest.raises(InvalidValueError, match="5 finite rates"):
        draw_rates(lambda g, n, span: [1.0], None, 5, SPAN)
    with pytest.raises(UnknownNameError, match="burst, constant, daily"):
        load_process("weekly")
    with pytest.raises(FileError):
        load_process("missing.csv")

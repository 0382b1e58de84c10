"""Games whose value is known, or found by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshagents import DQN, Hyperparameters, Spaces
from meshagents.games import equilibrium, exploitability, fictitious_play, independent_play, pure
from meshgym.errors import InvalidValueError

PENNIES = np.array([[1.0, -1.0], [-1.0, 1.0]])
SCISSORS = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
MATRICES = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.integers(-9, 9).map(float))


def value_by_brute_force(matrix):
    """Try all supports of equal size (Shapley and Snow 1950): one of them is an equilibrium's."""
    n, m = matrix.shape
    for size in range(1, min(n, m) + 1):
        for rows, columns in itertools.product(
            itertools.combinations(range(n), size), itertools.combinations(range(m), size)
        ):
            part = matrix[np.ix_(rows, columns)]
            system = np.block([[part, -np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            other = np.block([[part.T, -np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            right = np.r_[np.zeros(size), 1.0]
            try:
                y, x = np.linalg.solve(system, right), np.linalg.solve(other, right)
            except np.linalg.LinAlgError:
                continue
            full_x, full_y = np.zeros(n), np.zeros(m)
            full_x[list(rows)], full_y[list(columns)] = x[:-1], y[:-1]
            if min(full_x.min(), full_y.min()) < -1e-9:
                continue
            if (full_x @ matrix).max() <= y[-1] + 1e-9 and (matrix @ full_y).min() >= y[-1] - 1e-9:
                return y[-1]
    raise AssertionError("no equilibrium")


@settings(deadline=None)  # the first call imports the solver
@given(MATRICES)
def test_values_are_those_of_brute_force(matrix):
    found = equilibrium(matrix)
    assert found.value == pytest.approx(value_by_brute_force(matrix), abs=1e-7)
    assert exploitability(matrix, found.rows, found.columns) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("matrix", [PENNIES, SCISSORS])
def test_fair_games_are_mixed_evenly(matrix):
    found = equilibrium(matrix)
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.rows == pytest.approx(np.full(len(matrix), 1 / len(matrix)))
    assert found.columns == pytest.approx(found.rows)


@settings(max_examples=30)
@given(MATRICES)
def test_nobody_is_exploited_by_less_than_nothing(matrix):
    n, m = matrix.shape
    for row, column in itertools.product(range(n), range(m)):
        assert exploitability(matrix, pure(row, n), pure(column, m)) >= -1e-9


def test_fictitious_play_comes_near():
    rows, columns, curve = fictitious_play(SCISSORS, 20_000)
    assert exploitability(SCISSORS, rows, columns) == pytest.approx(curve[-1])
    assert curve[-1] < 0.02 < curve[9]


def test_independent_learners_find_what_is_best_whatever_the_other_does():
    game = np.array([[3.0, 5.0, 1.0], [2.0, 4.0, 0.5], [4.0, 6.0, 3.0]])  # row 1 and column 1
    hyperparameters = Hyperparameters(epochs=2, num_envs=25, interactions=2500)
    spaces = Spaces(np.zeros(1, np.float32), np.ones(1, np.float32), np.array(3), 1)
    players = tuple(DQN(spaces, hyperparameters, seed) for seed in range(2))
    rows, columns = independent_play(game, players, steps=200, copies=25)
    assert rows.argmax() == 1
    assert columns.argmax() == 1
    again = tuple(DQN(spaces, hyperparameters, seed) for seed in range(2))
    np.testing.assert_array_equal(independent_play(game, again, steps=200, copies=25)[0], rows)


@pytest.mark.parametrize("matrix", [[], [1.0, 2.0], [[np.nan]], [[np.inf, 1.0]]])
def test_what_is_no_game(matrix):
    with pytest.raises(InvalidValueError, match="payoffs"):
        equilibrium(matrix)


def test_what_are_no_shares():
    for wrong in ([0.5, 0.6], [1.0], [1.5, -0.5]):
        with pytest.raises(InvalidValueError, match="shares of rows"):
            exploitability(PENNIES, wrong, [0.5, 0.5])
    with pytest.raises(InvalidValueError, match="rounds"):
        fictitious_play(PENNIES, 0)

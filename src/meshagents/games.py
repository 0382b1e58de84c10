"""Zero-sum games: their exact value and equilibrium, how far policies are from it, fictitious play and
independent learners.

A game is a matrix: what the player of columns gets, and the player of rows loses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshagents.agent import Agent, Transition
from meshgym.errors import InvalidValueError, MeshGymError

FloatArray = NDArray[np.float64]
#: Below this share of the largest payoff, numbers are noise of the solver.
_TINY = 1e-9


@dataclass(frozen=True)
class Equilibrium:
    """Mixed policies from which neither player gains by leaving.

    Attributes:
        value: what the player of columns gets, and the player of rows loses.
        rows: shares of the rows, shape (n,).
        columns: shares of the columns, shape (m,).
    """

    value: float
    rows: FloatArray
    columns: FloatArray


def check_game(payoffs: Any) -> FloatArray:
    """Return a matrix of payoffs.

    Raises:
        InvalidValueError: something else, or a number that isn't finite.
    """
    matrix = np.asarray(payoffs, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise InvalidValueError("payoffs", np.shape(payoffs), "a matrix of finite numbers, shape (rows, columns)")
    return matrix


def equilibrium(payoffs: Any) -> Equilibrium:
    """Return a game's value and an equilibrium, by linear programming (von Neumann's minimax theorem).

    Args:
        payoffs: shape (rows, columns).

    Raises:
        InvalidValueError: no game.
        MeshGymError: the solver fails.
    """
    from scipy.optimize import linprog

    matrix = check_game(payoffs)
    low, spread = matrix.min(), np.ptp(matrix)
    scaled = (matrix - low) / (spread or 1.0)
    n, m = matrix.shape
    # Find shares of columns, and the least they get: maximise it, with every row giving at least as much.
    found = linprog(
        c=np.r_[np.zeros(m), -1.0],
        A_ub=np.column_stack([-scaled, np.ones(n)]),
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(m), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, 1)] * m + [(None, None)],
        method="highs",
    )
    if not found.success:
        raise MeshGymError(f"the game of {n} rows and {m} columns wasn't solved: {found.message}")
    rows, columns = _shares(-found.ineqlin.marginals), _shares(found.x[:m])
    return Equilibrium(float(low + found.x[-1] * spread), rows, columns)


def _shares(weights: FloatArray) -> FloatArray:
    kept = np.where(weights > _TINY, weights, 0.0)
    shares: FloatArray = kept / kept.sum()
    return shares


def exploitability(payoffs: Any, rows: Any, columns: Any) -> float:
    """Return how much the two players together would gain by the best responses to one another; 0 in equilibrium.

    Args:
        payoffs: shape (n, m).
        rows, columns: shares, shape (n,) and (m,).

    Raises:
        InvalidValueError: no game, or no shares of it.
    """
    matrix = check_game(payoffs)
    shares = []
    for name, given, count in zip(("rows", "columns"), (rows, columns), matrix.shape, strict=True):
        share = np.asarray(given, dtype=np.float64)
        if share.shape != (count,) or not (share >= 0).all() or not np.isclose(share.sum(), 1.0):
            raise InvalidValueError(f"shares of {name}", share, f"{count} numbers of 0 and above that add up to 1")
        shares.append(share)
    return float((shares[0] @ matrix).max() - (matrix @ shares[1]).min())


def pure(choice: int, count: int) -> FloatArray:
    """Return the shares of one choice of ``count``."""
    shares: FloatArray = np.eye(1, count, choice)[0]
    return shares


def independent_play(
    payoffs: Any, players: tuple[Agent, Agent], steps: int, copies: int
) -> tuple[FloatArray, FloatArray]:
    """Let two agents learn against each other, each as if it were alone.

    They see nothing: every step is the same game.

    Args:
        payoffs: shape (n, m).
        players: of the rows and of the columns, for observations of shape (1,).
        steps: of all copies.
        copies: games that are played at once.

    Returns:
        Shares of rows and of columns that they played in the second half, exploring included.

    Raises:
        InvalidValueError: no game, or fewer than two steps.
    """
    matrix = check_game(payoffs)
    if steps < 2 or copies < 1:
        raise InvalidValueError("steps and copies", [steps, copies], "at least two steps of one copy")
    seen, never = np.zeros((copies, 1), np.float32), np.zeros(copies, bool)
    played = [np.zeros(count) for count in matrix.shape]
    for step in range(steps):
        row, column = (np.asarray(player.act(seen, explore=True)) for player in players)
        gained = matrix[row, column]
        for player, action, reward in zip(players, (row, column), (-gained, gained), strict=True):
            player.update(Transition(seen, action, reward, seen, never))
        if step >= steps // 2:
            for count, action in zip(played, (row, column), strict=True):
                np.add.at(count, action, 1)
    return played[0] / played[0].sum(), played[1] / played[1].sum()


def fictitious_play(payoffs: Any, rounds: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Let both players respond to how the other has played so far (Brown 1951).

    Args:
        payoffs: shape (n, m).
        rounds: at least 1.

    Returns:
        Shares of rows and of columns after all rounds, and the exploitability after each round, shape (rounds,).

    Raises:
        InvalidValueError: no game, or no rounds.
    """
    matrix = check_game(payoffs)
    if rounds < 1:
        raise InvalidValueError("rounds", rounds, "a whole number, at least 1")
    played = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[1])
    against_rows, against_columns = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[1])
    curve = np.empty(rounds)
    for done in range(rounds):
        row, column = int(against_rows.argmin()), int(against_columns.argmax())
        played[0][row] += 1
        played[1][column] += 1
        against_rows += matrix[:, column]
        against_columns += matrix[row]
        curve[done] = (against_columns.max() - against_rows.min()) / (done + 1)
    return played[0] / rounds, played[1] / rounds, curve

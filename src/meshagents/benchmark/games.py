"""Games of rules against load: the score is by how much less both players can be exploited than at random."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshagents.agent import Agent
from meshagents.benchmark.budgets import ROUNDS
from meshagents.benchmark.kinds import Method
from meshagents.games import exploitability, fictitious_play, independent_play, pure
from meshagents.learners.dqn import DQN
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.spaces import Spaces
from meshgym.envs.game import payoffs

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class GameTask:
    """Find policies for both players of rules against load.

    The score is by how much less both can be exploited than if they played at random: 1 in equilibrium.

    Attributes:
        name: of the task.
        scenario: S1..S5.
    """

    kind = "game"
    name: str
    scenario: str

    @cached_property
    def payoffs(self) -> FloatArray:
        """What the sender of load gets, shape (sets of rules, loads)."""
        return payoffs(self.scenario)

    def score(self, rows: Any, columns: Any) -> float:
        """Return the score of both players' shares."""
        n, m = self.payoffs.shape
        random = exploitability(self.payoffs, np.full(n, 1 / n), np.full(m, 1 / m))
        return 1 - exploitability(self.payoffs, rows, columns) / random


def uniform_play(task: GameTask, seed: int, part: int) -> float:
    """Score both players choosing at random: 0 by definition."""
    n, m = task.payoffs.shape
    return task.score(np.full(n, 1 / n), np.full(m, 1 / m))


def fixed_play(task: GameTask, seed: int, part: int) -> float:
    """Score the choices that lose least, or gain most, if the other knows them."""
    n, m = task.payoffs.shape
    row, column = task.payoffs.max(axis=1).argmin(), task.payoffs.min(axis=0).argmax()
    return task.score(pure(int(row), n), pure(int(column), m))


def brown(task: GameTask, seed: int, part: int) -> float:
    """Score fictitious play."""
    rows, columns, _ = fictitious_play(task.payoffs, ROUNDS // part)
    return task.score(rows, columns)


def independent_dqns(task: GameTask, seed: int, part: int) -> float:
    """Score two DQNs that each learn as if they were alone."""
    rounds = ROUNDS // part
    copies = 25
    hyperparameters = replace(Hyperparameters(), epochs=1, interactions=rounds * copies, num_envs=copies)
    low, high = np.zeros(1, np.float32), np.ones(1, np.float32)
    players: list[Agent] = [
        DQN(Spaces(low, high, np.array(count), 1), hyperparameters, 2 * seed + number)
        for number, count in enumerate(task.payoffs.shape)
    ]
    rows, columns = independent_play(task.payoffs, (players[0], players[1]), rounds, copies)
    return task.score(rows, columns)


METHODS: dict[str, Method] = {
    "random": uniform_play,
    "fixed": fixed_play,
    "fictitious play": brown,
    "independent DQNs": independent_dqns,
}

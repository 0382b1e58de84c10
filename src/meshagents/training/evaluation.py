"""How good a policy is: its mean reward over the whole grid of rules, compared with random and oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meshagents.agent import Agent
from meshgym.errors import UnknownNameError
from meshgym.rewards import Reward, apply_reward, load_reward, takes_run
from meshgym.simulator import ResponseTable
from meshgym.types import LOAD_NAMES

FloatArray = NDArray[np.float64]
#: Grids of up to ``ALL_RULES`` rules are evaluated whole by default; of larger ones ``DRAWN_RULES`` are drawn.
ALL_RULES, DRAWN_RULES = 30_000, 10_000
_BATCH = 8192


@dataclass(frozen=True)
class RewardGrid:
    """The reward of every action under many rules.

    Attributes:
        rules: shape (rows, rules).
        paces, calls: values of the actions, shape (n_paces,) and (n_calls,).
        rewards: shape (rows, n_paces, n_calls).
        complete: whether these are all rules of the scenario.
        loads: names of both load fields.
    """

    rules: FloatArray
    paces: FloatArray
    calls: FloatArray
    rewards: NDArray[np.float32]
    complete: bool
    loads: tuple[str, ...] = LOAD_NAMES

    @classmethod
    def of_table(
        cls, table: ResponseTable, reward: str | Reward = "worst_case", rules: int | None = None, seed: int = 0
    ) -> Self:
        """Return the grid of a simulator's table.

        Args:
            table: the responses.
            reward: see :func:`meshgym.rewards.load_reward`.
            rules: how many rows to draw, without replacement; None for all, or for ``DRAWN_RULES`` if there are more
                than ``ALL_RULES``.
            seed: seed of the draw.
        """
        rows = np.arange(len(table.rules))
        drawn = rules or (len(rows) if len(rows) <= ALL_RULES else DRAWN_RULES)
        complete = drawn >= len(rows)
        if not complete:
            rows = np.sort(np.random.default_rng(seed).choice(rows, drawn, replace=False))
        shape = (len(rows), len(table.paces), len(table.calls))
        row, pace, call = (index.ravel() for index in np.indices(shape))
        found = table.lookup(rows[row], pace, call)
        rewarded = load_reward(reward)
        settings = table.settings(rows[row], pace, call) if takes_run(rewarded) else None
        rewards = apply_reward(rewarded, found, settings, table.scenario.setting_names).reshape(shape)
        return cls(table.rules[rows], table.paces, table.calls, rewards, complete, table.scenario.load_names)

    def view(self, control: str) -> tuple[FloatArray, NDArray[np.float32]]:
        """Return the grid as an agent with this control sees it.

        Returns:
            The observations, shape (contexts, inputs), and the reward of each of its actions, shape
            (contexts, actions), or (contexts, n_paces, n_calls) for ``"both"``.

        Raises:
            UnknownNameError: no such control.
        """
        if control == "both":
            return self.rules, self.rewards
        if control not in self.loads:
            raise UnknownNameError("control", control, (*self.loads, "both"))
        given, axis = (self.calls, 2) if control == self.loads[0] else (self.paces, 1)
        rewards = np.moveaxis(self.rewards, axis, 1).reshape(-1, self.rewards.shape[3 - axis])
        rules = np.repeat(self.rules, len(given), axis=0)
        return np.column_stack([rules, np.tile(given, len(self.rules))]), rewards


@dataclass(frozen=True)
class Evaluation:
    """Mean rewards over the contexts of a grid.

    Attributes:
        agent: of the agent, without exploration.
        random: of all actions with the same probability.
        fixed: of the best action that is the same for all contexts.
        oracle: of the best action for each context, found by trying all.
        fixed_action: index of the best fixed action, or of its threads and calls.
        contexts: how many contexts there are.
        complete: whether these are all contexts of the scenario.
    """

    agent: float
    random: float
    fixed: float
    oracle: float
    fixed_action: int | tuple[int, int]
    contexts: int
    complete: bool

    @property
    def share(self) -> float:
        """The agent's share of the oracle's reward, up to 1."""
        return self.agent / self.oracle

    @property
    def ratio(self) -> float:
        """The agent's reward over random's: the paper's ratio, without exploration and over all contexts."""
        return self.agent / self.random


def evaluate(agent: Agent, grid: RewardGrid, control: str, service: int | None = None) -> Evaluation:
    """Evaluate an agent on every context of a grid; compare it with random, best fixed action and oracle.

    Args:
        agent: acts without exploration.
        grid: rules and rewards.
        control: what the agent chooses: ``"threads"``, ``"calls"`` or ``"both"``.
        service: which of the agent's n services the grid belongs to.

    Raises:
        UnknownNameError: no such control.
    """
    observations, rewards = grid.view(control)
    by_action = rewards.mean(axis=0, dtype=np.float64)
    fixed = np.unravel_index(by_action.argmax(), by_action.shape)
    return Evaluation(
        agent=_mean_reward(agent, observations, rewards, service),
        random=float(by_action.mean()),
        fixed=float(by_action.max()),
        oracle=float(rewards.reshape(len(rewards), -1).max(axis=1).mean(dtype=np.float64)),
        fixed_action=int(fixed[0]) if len(fixed) == 1 else (int(fixed[0]), int(fixed[1])),
        contexts=len(rewards),
        complete=grid.complete,
    )


def _mean_reward(agent: Agent, observations: FloatArray, rewards: NDArray[np.float32], service: int | None) -> float:
    total = 0.0
    for start in range(0, len(rewards), _BATCH):
        part = rewards[start : start + _BATCH]
        action = agent.act(observations[start : start + _BATCH], service=service)
        chosen = action if part.ndim == 2 else np.moveaxis(action, -1, 0)
        index = (np.arange(len(part)), *np.atleast_2d(chosen))
        total += float(part[index].sum(dtype=np.float64))
    return total / len(rewards)

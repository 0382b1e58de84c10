"""The tasks of the benchmark. Each scores what a method decides: 1 is the best there is, known exactly.

A new task is a row of :data:`TASKS` and a new :data:`VERSION`: numbers of different versions don't compare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from meshagents.games import exploitability
from meshgym.envs.game import payoffs
from meshgym.mesh.base import IndexedMesh
from meshgym.rewards import apply_reward, load_reward
from meshgym.scenarios import load_scenario
from meshgym.simulator import SimulatedMesh, load_simulator

FloatArray = NDArray[np.float64]
#: Of tasks, seeds and budgets. It stays a draft (0.x) until the sequential task is among them.
VERSION = "0.1"
#: Seeds of every method on every task.
SEEDS = (0, 1, 2, 3, 4)
#: Interactions with the simulator that a learner may have in a task of environments.
INTERACTIONS = 75_000
#: Runs that a search may have.
RUNS = 40
#: Rounds of a game.
ROUNDS = 1000
#: From observations, shape (n, inputs), to actions, shape (n,).
Choose = Callable[[Any], Any]


@dataclass(frozen=True)
class EnvTask:
    """Learn to act in an environment; the score is the share of the oracle's reward on its contexts.

    Attributes:
        name: of the task.
        scenario: S1..S5.
        options: of ``gymnasium.make``.
        held_out: whether a method trains under one half of the rules and is scored under the other.
    """

    kind = "environment"
    name: str
    scenario: str
    options: Mapping[str, Any] = field(default_factory=dict)
    held_out: bool = False

    @cached_property
    def _env(self) -> Any:
        return gym.make("meshgym:MeshResilience-v0", scenario=self.scenario, flat=True, **self.options).unwrapped

    @cached_property
    def _halves(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows = np.random.default_rng(0).permutation(len(load_scenario(self.scenario).rule_grid()))
        return np.sort(rows[::2]), np.sort(rows[1::2])

    def make_envs(self, num_envs: int) -> VectorEnv[Any, Any, Any]:
        """Return the environments to train in, batched."""
        more: dict[str, Any] = dict(self.options)
        if self.held_out:
            more["contexts"] = load_scenario(self.scenario).rule_grid()[self._halves[0]]
        return gym.make_vec("meshgym:MeshResilience-v0", num_envs=num_envs, scenario=self.scenario, flat=True, **more)

    def table(self, training: bool = False) -> tuple[Any, FloatArray]:
        """Return observations and the expected reward of every action, of the contexts that count, or of training's."""
        rows = self._halves[0 if training else 1] if self.held_out else None
        seen, rewards = self._env.reward_table(rows)
        return seen, rewards

    def score(self, choose: Choose) -> float:
        """Return a policy's share of the oracle's reward.

        Args:
            choose: from observations, shape (n, inputs), to actions, shape (n,).
        """
        seen, rewards = self.table()
        chosen = np.asarray(choose(seen), dtype=np.int64)
        return float(rewards[np.arange(len(rewards)), chosen].mean() / rewards.max(axis=1).mean())


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


@dataclass(frozen=True)
class SearchTask:
    """Find the worst load under one set of rules by few runs, which scatter as those of a real mesh do.

    The score is the expected reward of the decision, as a share of the best load's.

    Attributes:
        name: of the task.
        scenario: S1..S5.
    """

    kind = "search"
    name: str
    scenario: str

    def row(self, seed: int) -> int:
        """Return the rules of a seed, as a row of the scenario's grid."""
        return int(np.random.default_rng(seed).integers(len(load_scenario(self.scenario).rule_grid())))

    def mesh(self, seed: int) -> IndexedMesh:
        """Return the mesh to search on, by index; its responses are drawn."""
        drawn = SimulatedMesh(load_simulator(self.scenario), sample=True).on_grid(load_scenario(self.scenario))
        drawn.seed([np.random.default_rng(seed)])
        return drawn

    def expected(self, seed: int) -> FloatArray:
        """Return the expected reward of every load, shape (n_paces, n_calls)."""
        mesh = SimulatedMesh(load_simulator(self.scenario)).on_grid(load_scenario(self.scenario))
        pace, calls = np.indices((len(mesh.paces), len(mesh.calls)))
        response = mesh.measure(np.full(pace.shape, self.row(seed)), pace, calls)
        return np.asarray(apply_reward(load_reward("worst_case"), response), np.float64)

    def score(self, seed: int, pace: int, calls: int) -> float:
        """Return the score of a load, by its indices."""
        expected = self.expected(seed)
        return float(expected[pace, calls] / expected.max())


Task = EnvTask | GameTask | SearchTask
_ATTACK, _DEFEND = {"control": "both"}, {"control": "rules", "reward": "best_case"}
_ALL: list[Task] = [
    *(EnvTask(f"attack-{name}", name, _ATTACK) for name in ("S1", "S2", "S3", "S4", "S5")),
    *(EnvTask(f"unseen-{name}", name, _ATTACK, held_out=True) for name in ("S1", "S3", "S4")),
    *(EnvTask(f"defend-{name}", name, _DEFEND) for name in ("S1", "S2")),
    *(GameTask(f"game-{name}", name) for name in ("S1", "S2", "S3", "S4")),
    *(SearchTask(f"search-{name}", name) for name in ("S1", "S2", "S3", "S4", "S5")),
]
#: All tasks, by name.
TASKS: dict[str, Task] = {task.name: task for task in _ALL}

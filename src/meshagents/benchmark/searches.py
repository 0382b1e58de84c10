"""Searches: find the worst load under one set of rules by few runs that scatter; scored after each run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshagents.benchmark.budgets import RUNS
from meshagents.benchmark.kinds import Method
from meshgym.errors import MissingDependencyError
from meshgym.mesh.base import IndexedMesh
from meshgym.rewards import apply_reward, load_reward
from meshgym.scenarios import load_scenario
from meshgym.simulator import SimulatedMesh, load_simulator

FloatArray = NDArray[np.float64]


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
        return _expected(self.scenario, self.row(seed))

    def score(self, seed: int, pace: int, calls: int) -> float:
        """Return the score of a load, by its indices."""
        expected = self.expected(seed)
        return float(expected[pace, calls] / expected.max())


@cache
def _expected(scenario: str, row: int) -> FloatArray:
    mesh = SimulatedMesh(load_simulator(scenario)).on_grid(load_scenario(scenario))
    pace, calls = np.indices((len(mesh.paces), len(mesh.calls)))
    response = mesh.measure(np.full(pace.shape, row), pace, calls)
    return np.asarray(apply_reward(load_reward("worst_case"), response), np.float64)


def random_search(task: SearchTask, seed: int, part: int) -> list[float]:
    """Score the best of loads that are drawn at random, as they were measured."""
    mesh, row = task.mesh(seed), task.row(seed)
    generator = np.random.default_rng([seed, 1])
    best, scores = -np.inf, []
    for _ in range(RUNS // part):
        load = int(generator.integers(len(mesh.paces))), int(generator.integers(len(mesh.calls)))
        if (reward := _measure(mesh, row, *load)) > best:
            best, score = reward, task.score(seed, *load)
        scores.append(score)
    return scores


def tpe(task: SearchTask, seed: int, part: int) -> list[float]:
    """Score the load that Optuna's tree-structured Parzen estimators find."""
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("optuna", "the benchmark's searches", "direct") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    mesh, row = task.mesh(seed), task.row(seed)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), direction="maximize")

    def objective(trial: Any) -> float:
        pace = trial.suggest_int("pace", 0, len(mesh.paces) - 1)
        return _measure(mesh, row, pace, trial.suggest_int("calls", 0, len(mesh.calls) - 1))

    scores: list[float] = []
    study.optimize(
        objective, RUNS // part, callbacks=[lambda so_far, _: scores.append(task.score(seed, **so_far.best_params))]
    )
    return scores


def process(task: SearchTask, seed: int, part: int) -> list[float]:
    """Score the load with the highest mean of a Gaussian process, which asks where the upper bound is highest."""
    from meshgym.simulator.small import fit_process

    mesh, row = task.mesh(seed), task.row(seed)
    shape = len(mesh.paces), len(mesh.calls)
    inputs = np.stack([axis.ravel() for axis in np.indices(shape)], axis=1).astype(float)
    inputs = (inputs - inputs.mean(axis=0)) / np.maximum(inputs.std(axis=0), 1e-9)
    first = max(RUNS // part // 4, 2)
    asked = list(np.random.default_rng([seed, 2]).integers(len(inputs), size=first))
    rewards = [_measure(mesh, row, *np.unravel_index(one, shape)) for one in asked]
    # Before the process is fitted, the best that was measured is decided on.
    best = [asked[int(np.argmax(rewards[: done + 1]))] for done in range(first - 1)]
    while True:
        measured = np.array(rewards)
        scale = measured.std() or 1.0
        targets = ((measured - measured.mean()) / scale)[:, None]
        fold = np.arange(len(asked)) % 2
        mean, deviation = fit_process(inputs[asked], targets, fold, seed).predictor.moments(inputs)
        best.append(int(mean[:, 0].argmax()))
        if len(asked) >= RUNS // part:
            return [task.score(seed, *map(int, np.unravel_index(one, shape))) for one in best]
        asked.append(int((mean + 2 * deviation)[:, 0].argmax()))
        rewards.append(_measure(mesh, row, *np.unravel_index(asked[-1], shape)))


def _measure(mesh: Any, row: int, pace: Any, calls: Any) -> float:
    return float(apply_reward(load_reward("worst_case"), mesh.measure(row, int(pace), int(calls))))


METHODS: dict[str, Method] = {"random": random_search, "TPE": tpe, "Gaussian process": process}

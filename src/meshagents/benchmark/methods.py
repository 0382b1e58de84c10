"""The baselines of the benchmark. Each has the budget that every method has, and returns its score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from meshagents.agent import Agent
from meshagents.benchmark.tasks import INTERACTIONS, ROUNDS, RUNS, EnvTask, GameTask, SearchTask
from meshagents.games import fictitious_play, independent_play, pure
from meshagents.learners.dqn import DQN
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.spaces import Spaces
from meshagents.training.loop import train
from meshgym.errors import MissingDependencyError
from meshgym.rewards import apply_reward, load_reward

#: A fast form has a budget this many times smaller.
FAST = 10
#: ``method(task, seed, part)``: plays with one part in ``part`` of the budget, and returns its score.
Method = Callable[[Any, int, int], float]
_LEARNER = Hyperparameters()


def random_actions(task: EnvTask, seed: int, part: int) -> float:
    """Score actions drawn at random, on average over all draws."""
    _, rewards = task.table()
    return float(rewards.mean() / rewards.max(axis=1).mean())


def fixed_action(task: EnvTask, seed: int, part: int) -> float:
    """Score the one action that is best on average in training, whatever the context."""
    best = int(task.table(training=True)[1].mean(axis=0).argmax())
    return task.score(lambda seen: np.full(len(seen), best))


def dqn(task: EnvTask, seed: int, part: int) -> float:
    """Score the project's DQN."""
    epochs = INTERACTIONS // part // _LEARNER.interactions
    hyperparameters = replace(_LEARNER, epochs=epochs)
    envs = task.make_envs(hyperparameters.num_envs)
    agent = DQN(Spaces.of_envs(envs), hyperparameters, seed)
    train(agent, envs)
    return task.score(agent.best().act)


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
    hyperparameters = replace(_LEARNER, epochs=1, interactions=rounds * copies, num_envs=copies)
    low, high = np.zeros(1, np.float32), np.ones(1, np.float32)
    players: list[Agent] = [
        DQN(Spaces(low, high, np.array(count), 1), hyperparameters, 2 * seed + number)
        for number, count in enumerate(task.payoffs.shape)
    ]
    rows, columns = independent_play(task.payoffs, (players[0], players[1]), rounds, copies)
    return task.score(rows, columns)


def random_search(task: SearchTask, seed: int, part: int) -> float:
    """Score the best of loads that are drawn at random, as they were measured."""
    mesh, row = task.mesh(seed), task.row(seed)
    generator = np.random.default_rng([seed, 1])
    loads = [
        (int(generator.integers(len(mesh.paces))), int(generator.integers(len(mesh.calls))))
        for _ in range(RUNS // part)
    ]
    rewards = [_measure(mesh, row, *load) for load in loads]
    return task.score(seed, *loads[int(np.argmax(rewards))])


def tpe(task: SearchTask, seed: int, part: int) -> float:
    """Score the load that Optuna's tree-structured Parzen estimators find."""
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("optuna", "the benchmark's searches", "direct") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    mesh, row = task.mesh(seed), task.row(seed)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), direction="maximize")
    study.optimize(
        lambda trial: _measure(
            mesh,
            row,
            trial.suggest_int("pace", 0, len(mesh.paces) - 1),
            trial.suggest_int("calls", 0, len(mesh.calls) - 1),
        ),
        RUNS // part,
    )
    return task.score(seed, **study.best_params)


def process(task: SearchTask, seed: int, part: int) -> float:
    """Score the load with the highest mean of a Gaussian process, which asks where the upper bound is highest."""
    from meshgym.simulator.small import fit_process

    mesh, row = task.mesh(seed), task.row(seed)
    shape = len(mesh.paces), len(mesh.calls)
    inputs = np.stack([axis.ravel() for axis in np.indices(shape)], axis=1).astype(float)
    inputs = (inputs - inputs.mean(axis=0)) / np.maximum(inputs.std(axis=0), 1e-9)
    asked = list(np.random.default_rng([seed, 2]).integers(len(inputs), size=max(RUNS // part // 4, 2)))
    rewards = [_measure(mesh, row, *np.unravel_index(one, shape)) for one in asked]
    while True:
        measured = np.array(rewards)
        scale = measured.std() or 1.0
        targets = ((measured - measured.mean()) / scale)[:, None]
        fold = np.arange(len(asked)) % 2
        mean, deviation = fit_process(inputs[asked], targets, fold, seed).predictor.moments(inputs)
        if len(asked) >= RUNS // part:
            return task.score(seed, *map(int, np.unravel_index(int(mean[:, 0].argmax()), shape)))
        asked.append(int((mean + 2 * deviation)[:, 0].argmax()))
        rewards.append(_measure(mesh, row, *np.unravel_index(asked[-1], shape)))


def _measure(mesh: Any, row: int, pace: Any, calls: Any) -> float:
    return float(apply_reward(load_reward("worst_case"), mesh.measure(row, int(pace), int(calls))))


#: By kind of task and name. The first is what chance gets, the second a fixed choice where there is one.
METHODS: dict[str, dict[str, Method]] = {
    "environment": {"random": random_actions, "fixed": fixed_action, "DQN": dqn},
    "game": {
        "random": uniform_play,
        "fixed": fixed_play,
        "fictitious play": brown,
        "independent DQNs": independent_dqns,
    },
    "search": {"random": random_search, "TPE": tpe, "Gaussian process": process},
}

"""Whole runs: kept in a file, gone on with, evaluated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshagents import AgentError, Hyperparameters
from meshagents.learners.storage import load_agent
from meshagents.training.configurations import load_configuration
from meshagents.training.training import SAVE_EVERY, Task, evaluate_agent, train_agent
from meshgym.errors import InvalidValueError

TINY = Hyperparameters(epochs=2, interactions=40, num_envs=20, batch_size=16, replay_size=100, width=8)
PAIR = load_configuration("Call-Thread")


@pytest.fixture
def service(shop, simulator):
    return Task(shop, simulator)


def test_a_finished_run_is_kept(service, tmp_path):
    path = tmp_path / "agent.npz"
    agent, history = train_agent(PAIR, [service], TINY, 4, path=path)
    kept, past = load_agent(path)
    assert kept.hyperparameters == agent.hyperparameters
    np.testing.assert_array_equal(past.loss, history.loss)
    again, history = train_agent(PAIR, [service], TINY, 4, path=path)
    assert len(history) == TINY.epochs
    assert evaluate_agent(again, PAIR, [service]) == evaluate_agent(agent, PAIR, [service])


def test_a_run_that_was_stopped_goes_on(service, tmp_path):
    hyperparameters = replace(TINY, epochs=SAVE_EVERY + 2)

    def stop(history):
        if len(history) == SAVE_EVERY + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_agent(PAIR, [service] * 2, hyperparameters, 0, path=tmp_path / "agent.npz", progress=stop)
    epochs = []
    _, history = train_agent(
        PAIR,
        [service] * 2,
        hyperparameters,
        0,
        path=tmp_path / "agent.npz",
        progress=lambda past: epochs.append(len(past)),
    )
    _, whole = train_agent(PAIR, [service] * 2, hyperparameters, 0)
    assert epochs == [SAVE_EVERY + 1, SAVE_EVERY + 2]
    np.testing.assert_array_equal(history.reward, whole.reward)


@pytest.mark.parametrize(
    ("seed", "width", "name"), [(1, 8, "Call-Thread"), (0, 9, "Call-Thread"), (0, 8, "Thread-Call")]
)
def test_another_runs_file_is_not_gone_on_with(service, tmp_path, seed, width, name):
    path = tmp_path / "agent.npz"
    train_agent(PAIR, [service], TINY, 0, path=path)
    with pytest.raises(InvalidValueError, match="delete"):
        train_agent(load_configuration(name), [service], replace(TINY, width=width), seed, path=path)


def test_other_shapes_of_task_are_another_run(service, tmp_path):
    path = tmp_path / "agent.npz"
    train_agent(PAIR, [service], TINY, 0, path=path)
    with pytest.raises(InvalidValueError, match="delete"):
        train_agent(PAIR, [service] * 2, TINY, 0, path=path)


@pytest.mark.parametrize(("name", "count"), [("Thread&Call", 1), ("Call", 1), ("Call-Thread", 2)])
def test_agents_are_evaluated_as_what_they_are(service, name, count):
    agent, _ = train_agent(PAIR, [service], TINY, 0)
    with pytest.raises(AgentError, match="Call"):
        evaluate_agent(agent, load_configuration(name), [service] * count)


def test_reward_is_passed_on(service):
    agent, _ = train_agent(PAIR, [service], TINY, 0, reward="best_case")
    (worst,), (best,) = (evaluate_agent(agent, PAIR, [service], reward) for reward in ("worst_case", "best_case"))
    assert worst.random != best.random


def test_simulator_files_are_read_once(shop, simulator, tmp_path):
    path = simulator.save(tmp_path / "simulator.npz")
    assert Task(shop, path).load_simulator() is Task(shop, str(path)).load_simulator()

"""Whole trainings: kept in a file, gone on with, evaluated."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from meshagents import AgentError, Hyperparameters
from meshagents.training.configurations import load_configuration
from meshagents.training.tasks import Task
from meshagents.training.train import SAVE_EVERY, train_agent
from meshagents.training.trained import evaluate_trained, load_trained, save_trained
from meshgym.errors import InvalidValueError, SimulatorError
from meshgym.files import read_arrays, write_arrays

TINY = Hyperparameters(epochs=2, interactions=40, num_envs=20, batch_size=16, replay_size=100, width=8)
PAIR = load_configuration("Call-Thread")


@pytest.fixture
def task(shop, simulator):
    return Task(shop, simulator)


def test_a_finished_training_is_kept(task, tmp_path):
    path = tmp_path / "agent.npz"
    trained = train_agent(PAIR, [task], TINY, 4, path=path)
    kept = load_trained(path)
    assert kept.hyperparameters == trained.hyperparameters
    np.testing.assert_array_equal(kept.history.loss, trained.history.loss)
    again = train_agent(PAIR, [task], TINY, 4, path=path)
    assert len(again.history) == TINY.epochs
    assert evaluate_trained(again) == evaluate_trained(trained)


@pytest.mark.parametrize("count", [1, 2])
def test_a_file_holds_all_an_agent_was_trained_with(task, tmp_path, count):
    trained = train_agent(PAIR, [task] * count, TINY, 4, reward="best_case", contexts="walk")
    kept = load_trained(save_trained(tmp_path / "agent.npz", trained))
    assert (kept.configuration, kept.reward, kept.contexts, kept.seed) == (PAIR, "best_case", "walk", 4)
    assert [one.load_scenario() for one in kept.tasks] == [task.scenario] * count
    assert [one.load_simulator().sha256 for one in kept.tasks] == [task.simulator.sha256] * count
    assert kept.identity() == trained.identity()
    assert kept.sha256 == trained.sha256
    assert kept.versions["meshgym"]
    assert evaluate_trained(kept) == evaluate_trained(trained)


def test_a_second_training_into_one_file_is_refused(task, tmp_path):
    path = tmp_path / "agent.npz"

    def second(history):
        with pytest.raises(AgentError, match=r"another training is writing to .*agent\.npz"):
            train_agent(PAIR, [task], TINY, 5, path=path)

    first = train_agent(PAIR, [task], TINY, 4, path=path, progress=second)
    assert load_trained(path).seed == first.seed == 4


def test_training_that_was_stopped_goes_on(task, tmp_path):
    hyperparameters = replace(TINY, epochs=SAVE_EVERY + 2)

    def stop(history):
        if len(history) == SAVE_EVERY + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_agent(PAIR, [task] * 2, hyperparameters, 0, path=tmp_path / "agent.npz", progress=stop)
    epochs = []
    resumed = train_agent(
        PAIR,
        [task] * 2,
        hyperparameters,
        0,
        path=tmp_path / "agent.npz",
        progress=lambda past: epochs.append(len(past)),
    )
    whole = train_agent(PAIR, [task] * 2, hyperparameters, 0)
    assert epochs == [SAVE_EVERY + 1, SAVE_EVERY + 2]
    np.testing.assert_array_equal(resumed.history.reward, whole.history.reward)


@pytest.mark.parametrize(
    ("seed", "width", "name", "reward"),
    [
        (1, 8, "Call-Thread", "worst_case"),
        (0, 9, "Call-Thread", "worst_case"),
        (0, 8, "Thread-Call", "worst_case"),
        (0, 8, "Call-Thread", "best_case"),
    ],
)
def test_another_trainings_file_is_left_alone(task, tmp_path, seed, width, name, reward):
    path = tmp_path / "agent.npz"
    train_agent(PAIR, [task], TINY, 0, path=path)
    with pytest.raises(InvalidValueError, match="delete"):
        train_agent(load_configuration(name), [task], replace(TINY, width=width), seed, path=path, reward=reward)


def test_other_tasks_are_another_training(task, tmp_path, shop):
    path = tmp_path / "agent.npz"
    train_agent(PAIR, [task], TINY, 0, path=path)
    with pytest.raises(InvalidValueError, match="delete"):
        train_agent(PAIR, [task] * 2, TINY, 0, path=path)
    with pytest.raises(InvalidValueError, match="delete"):
        train_agent(PAIR, [Task(replace(shop, rows=7), task.simulator)], TINY, 0, path=path)


@pytest.mark.parametrize(("name", "count"), [("Thread&Call", 1), ("Call", 1), ("Thread-Call", 1), ("Call-Thread", 2)])
def test_agents_are_evaluated_as_what_they_are(task, name, count):
    trained = train_agent(PAIR, [task], TINY, 0)
    with pytest.raises(AgentError, match="Call"):
        replace(trained, configuration=load_configuration(name), tasks=(task,) * count)


def test_reward_is_passed_on(task):
    trained = train_agent(PAIR, [task], TINY, 0, reward="best_case")
    (worst,), (best,) = (evaluate_trained(replace(trained, reward=reward)) for reward in ("worst_case", "best_case"))
    assert worst.random != best.random
    assert evaluate_trained(trained) == [best]


def test_a_function_as_reward_has_no_place_in_a_file(task, tmp_path):
    def reward(qps, p200, p503):
        return qps

    with pytest.raises(InvalidValueError, match="can't hold a function"):
        train_agent(PAIR, [task], TINY, 0, reward=reward, path=tmp_path / "agent.npz")
    (found,) = evaluate_trained(train_agent(PAIR, [task], TINY, 0, reward=reward))
    assert found.agent > 0


def test_edited_files_are_refused(task, tmp_path):
    path = tmp_path / "agent.npz"
    train_agent(PAIR, [task], TINY, 0, path=path)
    arrays = read_arrays(path)
    write_arrays(path, arrays | {"history.reward": arrays["history.reward"] + 1})
    with pytest.raises(AgentError, match="checksum"):
        load_trained(path)


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"PK\x03\x04"])
def test_bad_files_are_refused(tmp_path, content):
    path = tmp_path / "agent.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AgentError, match="meshagents train"):
        load_trained(path)


def test_files_of_another_layout_are_refused_with_what_to_do(task, tmp_path):
    path = tmp_path / "agent.npz"
    write_arrays(path, {"about": np.array(json.dumps({"schema": 1}))})  # as meshgym 0.1 wrote them
    with pytest.raises(AgentError, match=r"layout 1.*meshagents train"):
        load_trained(path)
    trained = train_agent(PAIR, [task], TINY, 0)
    write_arrays(path, {"trained": np.array(json.dumps({"layout": 3}))})
    with pytest.raises(AgentError, match=r"layout 3.*meshagents train"):
        load_trained(path)
    with pytest.raises(AgentError, match=r"without scenario.*meshagents train"):
        load_trained(trained.agent.save(path))


def test_simulator_files_are_read_once(shop, simulator, tmp_path):
    path = simulator.save(tmp_path / "simulator.npz")
    assert Task(shop, path).load_simulator() is Task(shop, str(path)).load_simulator()


def test_a_simulator_of_another_scenario_is_refused(simulator):
    with pytest.raises(SimulatorError, match=r"shop.*S1"):
        Task("S1", simulator).load_simulator()

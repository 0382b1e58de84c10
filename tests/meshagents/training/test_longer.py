"""A training can go on, end early, and be logged."""

import numpy as np
import pandas as pd
import pytest

from meshagents import Hyperparameters
from meshagents.cli.main import main
from meshagents.training.configurations import load_configuration
from meshagents.training.loggers import csv_logger, tensorboard_logger
from meshagents.training.loop import History
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import load_trained
from meshgym.errors import MissingDependencyError

TINY = Hyperparameters(epochs=4, interactions=40, num_envs=20, batch_size=16, replay_size=100, width=8)


def trained(path=None, **options):
    return train_agent(load_configuration("Call"), [Task("S2")], TINY, 0, path=path, **options)


def test_it_goes_on_where_it_ended(tmp_path):
    whole = trained(more=3)
    trained(tmp_path / "agent.npz")
    longer = trained(tmp_path / "agent.npz", more=3)
    assert len(longer.history) == len(whole.history) == 7
    assert longer.sha256 == whole.sha256
    assert load_trained(tmp_path / "agent.npz").sha256 == whole.sha256
    assert trained(tmp_path / "agent.npz", more=3).sha256 == whole.sha256  # nothing is left to do


def test_it_ends_early_once_nothing_gets_better(tmp_path):
    patient = trained(tmp_path / "agent.npz", more=200, patience=5)
    assert 5 < len(patient.history) < 204
    ratio = patient.history.ratio
    rolling = [ratio[max(0, epoch - 24) : epoch + 1].mean() for epoch in range(len(ratio))]
    assert len(ratio) - 1 - int(np.argmax(rolling)) == 5
    assert len(load_trained(tmp_path / "agent.npz").history) == len(patient.history)


def test_by_command_with_logs(tmp_path, monkeypatch, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    arguments = ["train", "S2", "--configuration", "Call", "--epochs", "3", "--interactions", "50", "--num-envs", "25"]
    arguments += ["--log", "log.csv", "--tensorboard", "board", "--quiet"]
    assert main(arguments) == 0
    assert len(pd.read_csv("log.csv")) == 3
    assert main([*arguments, "--more", "2"]) == 0
    log = pd.read_csv("log.csv")
    assert list(log) == ["epoch", "reward", "random", "ratio", "loss"]
    assert log["epoch"].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(log["ratio"], load_trained("agents/agent.npz").history.ratio)
    events = EventAccumulator("board").Reload()
    assert [event.step for event in events.Scalars("ratio")] == [1, 2, 3, 4, 5]


def test_several_services_have_columns_of_their_own(tmp_path):
    history = History([np.array([1.0, 2.0])], [np.array([1.0, 1.0])], [0.5])
    csv_logger(tmp_path / "log.csv")(history)
    assert list(pd.read_csv(tmp_path / "log.csv")) == [
        *("epoch", "reward_0", "reward_1", "random_0", "random_1", "ratio_0", "ratio_1", "loss")
    ]


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    for name in ("torch.utils.tensorboard", "tensorboard"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"meshgym\[tensorboard\]"):
        tensorboard_logger(tmp_path)

"""Datasets of behaviour, in Minari's format."""

from __future__ import annotations

import pytest

from meshagents.benchmark import datasets
from meshagents.benchmark.budgets import VERSION
from meshagents.cli.main import main
from meshgym.errors import InvalidValueError, UnknownNameError


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(datasets, "BEHAVIOURS", {"random": None, "medium": 40})


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_behaviours_are_recorded_and_can_be_read(small, tmp_path, monkeypatch, capsys):
    command = ["datasets", "attack-S2", "control-ramp", "--steps", "200", "--out", str(tmp_path), "--quiet"]
    assert main(command) == 0
    names = capsys.readouterr().out.split()
    assert names == [
        f"meshgym/{task}/{kind}-v{VERSION}" for task in ("attack-S2", "control-ramp") for kind in ("random", "medium")
    ]
    assert main(command) == 0  # once more: replaced
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    import minari

    for name, episodes in ((names[1], 2), (names[2], 10)):
        dataset = minari.load_dataset(name)
        assert (dataset.total_episodes, dataset.total_steps) == (episodes, 200)
        env = dataset.recover_environment()
        assert env.observation_space == dataset.observation_space
    rewards = [
        sum(float(one.rewards.sum()) for one in minari.load_dataset(name).iterate_episodes()) for name in names[:2]
    ]
    assert rewards[0] < rewards[1]


def test_what_cannot_be_recorded_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="attack-S1"):
        datasets.record(["game-S1"], 100, folder=tmp_path)
    with pytest.raises(InvalidValueError, match="steps is 50"):
        datasets.record(["attack-S2"], 50, folder=tmp_path)

"""The ``meshagents`` command: what it prints, and one clear line for whatever goes wrong."""

import re
import tomllib
from dataclasses import fields, replace

import pytest

from meshagents import Hyperparameters
from meshagents.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstart", "--scenario", "S9"], "scenario is 'S9'"),
        (["quickstart", "--configuration", "Calls"], "configuration is 'Calls'"),
        (["quickstart", "--out", "/dev/null/folder"], "cannot write to /dev/null/folder"),
        (["train", "S9"], "scenario is 'S9'"),
        (["train", "S1=none.npz"], "there is no simulator file none.npz"),
        (["evaluate", "none.npz"], "none.npz"),
        (["table5", "S1", "--epochs", "1", "--backend", "spark"], "backend is 'spark'"),
        (["table5", "S1", "--configurations", "Call*5"], "row is 'Call*5'"),
        (["table5", "S1", "--scenarios", "S2"], "column is 'S2'"),
        (["validate", "none.npz"], "none.npz"),
        (["report", "nothing"], "there is no result nothing"),
        (["report", "."], "path is '.'"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) in (1, 2)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("meshagents: error: ")]
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstart", "--runs", "10"], 'Invalid value "10" for --runs. Must be >= 40.'),
        (["quickstart", "--contexts", "1"], 'Invalid value "1" for --contexts. Must be >= 2.'),
        (["train"], "--tasks requires an argument"),
        (["train", "S1", "--preset", "best"], "preset is 'best'; allowed: default, paper, paper*5."),
        (["train", "S1", "--epochs", "0"], "epochs is 0"),
        (["train", "S1", "--learning-rate", "2"], "learning_rate is 2.0; allowed: a number 1e-09..1."),
        (["train", "S1", "--learning-rat", "2"], "Unknown option: --learning-rat. Did you mean --learning-rate?"),
        (["train", "S1", "--num-envs", "7"], "interactions is 1000; allowed: a multiple of num_envs (7)."),
        (["table5", "S1", "--seeds", "0"], 'Invalid value "0" for --seeds. Must be >= 1.'),
        (["table5", "S1", "--contexts", "0"], 'Invalid value "0" for --contexts. Must be >= 2.'),
        (["table5", "S1", "--width", "0"], "width is 0"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("meshagents: error: ")
    assert message in said
    assert not list(tmp_path.iterdir())


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Hyperparameters of agents that would be trained, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    seen = []
    stop = KeyboardInterrupt  # before anything is written

    def train_agent(*arguments, **options):
        seen.append(next(one for one in arguments if isinstance(one, Hyperparameters)))
        raise stop

    monkeypatch.setattr("meshagents.training.train.train_agent", train_agent)
    return seen


def test_every_hyperparameter_is_an_option_with_its_help(capsys):
    for command in ("train", "table5"):
        assert main([command, "--help"]) == 0
        said = capsys.readouterr().out
        for field in fields(Hyperparameters):
            option = field.name.replace("_", "-")
            assert re.search(rf"--{option} .*? {{2,}}[A-Z]", said), f"--{option} has no help"


def test_hyperparameters_come_from_the_command_line_before_the_file_before_the_preset(trained, tmp_path):
    (tmp_path / "mine.toml").write_text('tasks = ["S1"]\npreset = "paper"\nwidth = 64\nbeta = 0.25\n')
    assert main(["train", "--config", "mine.toml", "--width", "32", "--no-shared"]) == 130
    paper = Hyperparameters.from_dict({}, "paper")
    assert trained == [replace(paper, width=32, beta=0.25, shared=False)]
    assert main(["train", "S1"]) == 130
    assert trained[1] == Hyperparameters()


def test_the_options_beside_an_agent_train_it_again(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--width", "16", "--learning-rate", "1e-3", "--epochs", "1"]
    assert main(["train", "S1", *small, "--configuration", "Call", "--out", "agents/one.npz"]) == 0
    shown = capsys.readouterr().out
    options = tomllib.loads((tmp_path / "agents" / "one.options.toml").read_text())
    assert (options["tasks"], options["width"], options["learning-rate"], options["seed"]) == (["S1"], 16, 1e-3, 0)
    assert {field.name.replace("_", "-") for field in fields(Hyperparameters)} <= set(options)
    assert main(["train", "--config", "agents/one.options.toml", "--out", "agents/two.npz"]) == 0
    assert capsys.readouterr().out == shown.replace("one.npz", "two.npz")


def test_train_and_evaluate_on_a_bundled_simulator(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "S1", "--configuration", "Thread", "--epochs", "2", "--out", "agent.npz"]) == 0
    trained = capsys.readouterr().out.splitlines()
    assert trained[1].startswith("S1 ")
    assert main(["evaluate", "agent.npz"]) == 0
    assert capsys.readouterr().out.splitlines() == trained[:2]


def test_table5_is_printed_and_saved_and_not_done_twice(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["table5", "S1", "--epochs", "1", "--seeds", "1", "--jobs", "1"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "| Thread-Call |" in shown
    assert (tmp_path / "table5" / "table5.md").read_text() in shown
    assert (tmp_path / "table5" / "table5.csv").read_text().count("\n") >= 6
    trainings = {path: path.stat().st_mtime_ns for path in (tmp_path / "table5" / "trainings").iterdir()}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in trainings} == trainings

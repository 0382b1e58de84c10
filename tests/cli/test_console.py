"""How commands end: signals, exit codes, a reader who has enough."""

import signal
import subprocess
import sys
from functools import partial

import pytest
from meshes import FlakyMesh

from meshgym.cli.main import main
from meshgym.traces.lanes import OneLane

SLOW_END = """
import signal, sys, time
from meshgym.cli.console import run

def work():
    "Work."
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        print("cleaning", flush=True)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            time.sleep(0.05)
        print("clean", flush=True)

sys.exit(run("program", "About.", [work], ["work"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_second_signal_does_not_interrupt_the_cleaning_up(number, times):
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # background jobs of a shell ignore it
    command = [sys.executable, "-c", SLOW_END]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, preexec_fn=heeding) as process:
        for line in ["working", "cleaning", None][:times]:
            if line:
                assert process.stdout.readline() == f"{line}\n"
            else:
                assert "once more ends it at once" in process.stderr.readline()
            process.send_signal(number)
        printed, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert ("clean\n" in printed) == (times < 3)
    assert ("once more ends it at once" in said) == (times == 2)
    assert "Traceback" not in said


def test_a_signal_while_options_are_read_is_no_traceback():
    code = (
        "import os, signal, sys; from meshgym.cli import console\n"
        "console._read = lambda path: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(console.run('program', 'About.', [], ['--config', 'file']))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (said.returncode, said.stderr.count("\n")) == (143, 1), said.stderr


def test_another_envoy_can_be_named(monkeypatch, capsys):
    monkeypatch.setenv("MESHGYM_ENVOY", "")
    assert main(["doctor", "--envoy", "/bin/true"]) == 1
    assert "/bin/true doesn't say its version" in capsys.readouterr().err


def test_what_is_ignored_stays_ignored():
    """As nohup and background jobs of a shell want it."""
    code = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{SLOW_END.replace('sleep(60)', 'sleep(1)')}"
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, text=True) as process:
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=20)[0] == "cleaning\nclean\n"
    assert process.returncode == 0


def test_given_up_runs_are_named_at_the_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("meshgym.traces.collect.EmbeddedMesh", lambda scenario, lanes: None)
    monkeypatch.setattr("meshgym.traces.collect.SharedLanes", lambda make: OneLane(FlakyMesh()))
    assert main(["collect", "--scenario", "S1", "--rows", "10", "--out", str(tmp_path)]) == 3
    printed, said = capsys.readouterr()
    assert printed == f"{tmp_path / 'collection.db'}\n"
    assert "runs of" in said
    assert "were given up (0, 4): one thread is too few" in said


@pytest.mark.parametrize(("arguments", "code"), [(["scenarios"], 0), (["--help"], 1), (["collect", "--help"], 1)])
def test_a_reader_who_has_enough_is_told_nothing(arguments, code):
    """Rich, which prints the help, ends with 1 then."""
    program = f"import sys; from meshgym.cli.main import main; sys.exit(main({arguments}))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == code

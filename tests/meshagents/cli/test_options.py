"""Every number has a range, checked before any work starts."""

import pytest

from meshagents.cli.main import main as meshagents
from meshgym.cli.main import main as meshgym

COUNTS = ["-1", "0", "1000000000000000000", "nan", "1.5", "many"]
SEEDS = ["-1", "4294967296", "x"]


@pytest.mark.parametrize(
    ("program", "command", "option", "values"),
    [
        (meshgym, ["collect"], "--rows", COUNTS),
        (meshgym, ["collect"], "--seed", SEEDS),
        (meshgym, ["collect"], "--lanes", ["0", "65"]),
        (meshgym, ["fit"], "--seed", SEEDS),
        (meshgym, ["table4"], "--seeds", COUNTS),
        (meshgym, ["table4"], "--jobs", COUNTS),
        (meshagents, ["quickstart"], "--epochs", COUNTS),
        (meshagents, ["quickstart"], "--runs", ["39", "60.5", "1000000000000000000"]),
        (meshagents, ["quickstart"], "--contexts", ["1", "1000000000000000000"]),
        (meshagents, ["train", "S1"], "--seed", SEEDS),
        (meshagents, ["train", "S1"], "--epochs", ["0", "1000000000000000000", "many", "1.5"]),
        (meshagents, ["train", "S1"], "--num-envs", ["0", "1000000000000000000", "nan"]),
        (meshagents, ["train", "S1"], "--learning-rate", ["nan", "inf", "-1", "0"]),
        (meshagents, ["validate", "none.npz"], "--contexts", ["1", "1000000000000000000"]),
        (meshagents, ["validate", "none.npz"], "--repeats", COUNTS),
        (meshagents, ["table5"], "--jobs", ["0", "-2", "1.5", "1000000"]),
        (meshagents, ["table5"], "--seeds", COUNTS),
        (meshagents, ["recommend", "S1"], "--repeats", ["0", "1000000000000000000"]),
        (meshagents, ["recommend", "S1"], "--seed", SEEDS),
    ],
)
def test_a_number_out_of_range_is_misuse(program, command, option, values, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for value in values:
        assert program([*command, f"{option}={value}"]) == 2, value
        printed, said = capsys.readouterr()
        assert said.count("\n") == 1, said
        assert option.strip("-").replace("-", "_") in said.replace("-", "_"), said
        assert not printed
        assert not list(tmp_path.iterdir()), "something was written"


def test_a_url_that_is_an_option_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for more in (["--url=-version"], ["--url=http://a/\n# b"], ["--host", "*"]):
        assert meshagents(["recommend", "S1", "--load", "threads=2,calls=40", *more]) == 2
        assert "url of the load (--url) is" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

"""A direct search finds the worst load of one set of rules in few runs, and goes on where it was stopped."""

import json

import pytest
from arithmetic import SCENARIO, TEXT, ArithmeticMesh, respond

from meshagents.cli.main import main
from meshagents.recommend import advice
from meshagents.recommend.direct import FILENAME, search_directly
from meshagents.recommend.request import Request
from meshagents.recommend.search import all_loads
from meshagents.training.tasks import Task
from meshgym.errors import FolderError, MissingDependencyError
from meshgym.types import TrafficRules

RULES = TrafficRules(http1_max_pending_requests=10, max_connections=5)


def reward(load):
    response = respond([[10, 5, load.threads, load.calls]])
    return float(response.qps[0] * response.p503[0])


def test_twenty_runs_find_nearly_the_worst_of_33_loads(tmp_path):
    best = max(map(reward, all_loads(SCENARIO)))
    found = []
    for seed in range(5):
        with ArithmeticMesh(20) as mesh:
            found.append(search_directly(mesh, SCENARIO, RULES, 20, tmp_path, seed))
    assert min(reward(one.expected[0].load) for one in found) > 0.9 * best
    assert {(one.rules, one.loads, one.direct) for one in found} == {(RULES, 33, 20)}


def test_a_stopped_search_goes_on(tmp_path):
    with ArithmeticMesh(7) as mesh, pytest.raises(KeyboardInterrupt):
        search_directly(mesh, SCENARIO, RULES, 12, tmp_path)
    with ArithmeticMesh(5) as mesh:
        first = search_directly(mesh, SCENARIO, RULES, 12, tmp_path)
    with ArithmeticMesh(0) as mesh:
        assert search_directly(mesh, SCENARIO, RULES, 12, tmp_path) == first
    with ArithmeticMesh(0) as mesh, pytest.raises(KeyboardInterrupt):  # other rules are another search
        search_directly(mesh, SCENARIO, RULES.replace(max_connections=6), 12, tmp_path)


def test_a_file_that_cannot_be_used(tmp_path):
    (tmp_path / FILENAME).mkdir()
    with ArithmeticMesh() as mesh, pytest.raises(FolderError, match=r"direct\.log"):
        search_directly(mesh, SCENARIO, RULES, 5, tmp_path)


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with ArithmeticMesh() as mesh, pytest.raises(MissingDependencyError, match=r"meshgym\[direct\]"):
        search_directly(mesh, SCENARIO, RULES, 5, tmp_path)


def test_its_load_is_measured_and_written(tmp_path):
    (tmp_path / "arithmetic.toml").write_text(TEXT)
    request = Request(rules="http1_max_pending_requests=10,max_connections=5", direct=15, repeats=2)
    task = Task(tmp_path / "arithmetic.toml")
    report, paths = advice.advise(task, request, tmp_path / "out", lambda scenario: ArithmeticMesh(17))
    written = json.loads(next(path for path in paths if path.suffix == ".json").read_text())
    (load,) = written["loads"]
    assert (written["direct"], written["simulator"], load["qps"], len(load["measured"])) == (15, None, None, 2)
    text = (tmp_path / "out" / "recommendation.md").read_text()
    assert "Found by 15 runs" in text
    assert "redicted" not in text
    assert report.runs


@pytest.mark.parametrize("options", [[], ["--rules", "max_connections=5", "--load", "threads=2,calls=200"]])
def test_it_needs_rules_and_searches_loads(options, capsys):
    assert main(["recommend", "S1", "--direct", "12", *options]) in (1, 2)
    assert "with --rules and without --load" in capsys.readouterr().err

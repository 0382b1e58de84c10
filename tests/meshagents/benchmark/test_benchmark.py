"""The benchmark: scores that are known, cells that are never done twice, submissions that are refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from meshagents.benchmark import output, run
from meshagents.benchmark.budgets import FEW_RUNS, RUNS, SEEDS, TRANSFER_RUNS
from meshagents.benchmark.tasks import METHODS, TASKS
from meshagents.cli.main import main
from meshagents.games import equilibrium
from meshgym.errors import FileError, InvalidValueError, UnknownNameError
from meshgym.simulator import load_simulator

ATTACK, UNSEEN, DEFEND = (TASKS[name] for name in ("attack-S2", "unseen-S1", "defend-S2"))


@pytest.mark.parametrize("task", [ATTACK, UNSEEN, DEFEND], ids=lambda task: task.name)
def test_who_knows_everything_scores_1_and_chance_less(task):
    seen, rewards = task.table()
    best = {tuple(row): int(action) for row, action in zip(seen.tolist(), rewards.argmax(axis=1), strict=True)}
    assert task.score(lambda seen: [best[tuple(row)] for row in seen.tolist()]) == 1
    chance, fixed = (METHODS["environment"][name](task, 0, 1) for name in ("random", "fixed"))
    assert chance < fixed <= 1


def test_rewards_are_those_of_the_environment():
    env = ATTACK.make_envs(1).unwrapped
    observations, _ = env.reset(seed=3)
    seen, rewards = ATTACK.table()
    row = int(np.flatnonzero((seen == observations[0]).all(axis=1))[0])
    for action in (0, 7, 19):
        env.reset(seed=3)
        assert env.step(np.array([action]))[1][0] == pytest.approx(rewards[row, action])


def test_a_learner_never_sees_the_rules_that_it_is_scored_under():
    tested = {tuple(row) for row in UNSEEN.table()[0].tolist()}
    envs = UNSEEN.make_envs(64)
    observations, _ = envs.reset(seed=0)
    for _ in range(20):
        assert not tested & {tuple(row) for row in observations.tolist()}
        observations = envs.step(envs.action_space.sample())[0]
    assert len(tested) == 171
    assert {tuple(row) for row in UNSEEN.table(training=True)[0].tolist()}.isdisjoint(tested)


def test_an_equilibrium_scores_1():
    task = TASKS["game-S2"]
    exact = equilibrium(task.payoffs)
    assert task.score(exact.rows, exact.columns) == pytest.approx(1)
    assert METHODS["game"]["random"](task, 0, 1) == pytest.approx(0)
    assert 0.9 < METHODS["game"]["fictitious play"](task, 0, 1) < 1


def test_a_search_is_scored_by_what_is_expected():
    task = TASKS["search-S2"]
    expected = task.expected(3)
    best = np.unravel_index(expected.argmax(), expected.shape)
    assert task.score(3, *map(int, best)) == 1
    drawn = [float(task.mesh(3).measure(task.row(3), *map(int, best)).qps) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != float(task.mesh(4).measure(task.row(3), *map(int, best)).qps)


@pytest.mark.parametrize("method", METHODS["search"])
def test_a_search_is_scored_after_each_run(method):
    curve = METHODS["search"][method](TASKS["search-S2"], 1, 4)
    assert len(curve) == RUNS // 4
    assert all(0 <= score <= 1 for score in curve)
    assert METHODS["search"][method](TASKS["search-S2"], 1, 4) == curve


def test_pairs_have_the_oracle_for_their_measure():
    chance, fixed = (METHODS["pairs"][name](TASKS["pair-S2"], 0, 1) for name in ("random", "fixed"))
    assert 0 < chance < fixed <= 1
    attack = TASKS["attack-S2"]
    assert fixed == pytest.approx(METHODS["environment"]["fixed"](attack, 0, 1), rel=0.02)


def test_few_runs_are_as_many_as_the_budget_has_and_scatter():
    few, transfer = TASKS["few-S1"], TASKS["transfer-S1-S2"]
    assert (len(few.runs(0, 1)), len(transfer.runs(0, 1))) == (FEW_RUNS, TRANSFER_RUNS)
    assert few.runs(0, 1).equals(few.runs(0, 1))
    runs = few.runs(0, 1)
    settings = runs[[name for name in runs if name not in ("qps", "p200", "p503", "repeat")]].to_numpy()
    expected = load_simulator("S1").predict(settings).p503
    assert 0 < np.abs(expected - runs["p503"]).mean() < 0.2
    chance, fixed = (METHODS["few runs"][name](few, 0, 1) for name in ("random", "fixed"))
    assert chance < fixed <= 1


def test_who_knows_the_service_decides_best():
    assert TASKS["few-S1"].score_of(load_simulator("S1")) == 1
    assert METHODS["transfer"]["source alone"](TASKS["transfer-S1-S2"], 0, 1) < 1


def test_control_is_scored_by_the_share_of_calls_that_are_served():
    task = TASKS["control-burst"]
    scores = {name: METHODS["control"][name](task, 0, 1) for name in ("random", "fixed", "hysteresis")}
    assert scores["random"] < scores["fixed"] < 1
    assert scores["random"] < scores["hysteresis"] < 1
    envs = task.make_envs(4)
    envs.reset(seed=9)
    gained = sent = np.zeros(4)
    for _ in range(20):
        *_, info = envs.step(np.full(4, 50))
        gained, sent = gained + info["qps"] * info["p200"], sent + info["rate_per_s"]
    assert task.scores(lambda seen: np.full(len(seen), 50), 4, 9) == pytest.approx(gained / sent)


def test_every_kind_has_methods():
    assert {task.kind for task in TASKS.values()} == set(METHODS)


@pytest.mark.slow
def test_the_fast_form_runs_and_a_rerun_gives_the_same(tmp_path, capsys):
    tasks = ["attack-S2", "defend-S2", "pair-S2", "game-S2", "search-S2", "control-burst", "transfer-S1-S2"]
    command = ["benchmark", *tasks, "--fast", "--quiet", "--jobs", "1"]
    assert main([*command, "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert "its numbers don't compare" in said
    first = (tmp_path / "a" / "results.csv").read_bytes()
    assert main([*command, "--out", str(tmp_path / "b")]) == 0
    assert (tmp_path / "b" / "results.csv").read_bytes() == first
    page = (tmp_path / "a" / "benchmark.html").read_text()
    assert page.count("<svg") == 2
    assert "after each run" in page
    assert "fictitious play" in page
    assert main(["benchmark", "--check", str(tmp_path / "a")]) == 2
    assert "fast of" in capsys.readouterr().err


def test_a_run_that_was_cut_goes_on(tmp_path, monkeypatch):
    wanted = [cell for cell in run.cells(["game-S2"]) if cell.method in ("random", "fixed")]
    done = []

    def play(cell):
        done.append(cell)
        return 0.5

    monkeypatch.setattr(run, "play", play)
    run.run(wanted[:4], tmp_path, n_jobs=1)
    (tmp_path / wanted[1].filename).write_text("{")  # cut
    scores = run.run(wanted, tmp_path, n_jobs=1)
    assert done == [*wanted[:4], wanted[1], *wanted[4:]]
    assert scores["score"].tolist() == [0.5] * len(wanted)
    assert list(scores.columns) == ["task", "method", "seed", "score", "curve"]
    with pytest.raises(UnknownNameError, match="attack-S1"):
        run.cells(["attack-S9"])


@pytest.fixture
def submission(tmp_path):
    """Write what a method's authors would send."""

    def make(**changes):
        rows = [{"task": "game-S2", "method": "mine", "seed": seed, "score": 0.9, "curve": []} for seed in SEEDS]
        output.write(pd.DataFrame(rows), tmp_path, fast=False)
        about = json.loads((tmp_path / "benchmark.json").read_text())
        (tmp_path / "benchmark.json").write_text(json.dumps({**about, **changes}))
        return tmp_path

    return make


def test_a_whole_submission_is_taken(submission):
    assert output.check_submission(submission()) == ["mine"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "0.0"}, r"version of .* is \{'version': '0.0'\}"),
        ({"seeds": [0]}, r"seeds of .* \[0, 1, 2, 3, 4\]"),
        ({"budgets": {}}, r"budgets of .*interactions"),
        ({"fast": True}, r"fast of"),
    ],
)
def test_what_differs_from_what_is_frozen_is_refused(submission, changes, said):
    with pytest.raises(InvalidValueError, match=said):
        output.check_submission(submission(**changes))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",3,mine", ",2,mine", r"seeds of mine on game-S2 is \[0, 1, 2, 2, 4\]"),
        ("game-S2", "game-S9", "task of mine is 'game-S9'"),
        (",0.9,", ",1.2,", r"score of mine on game-S2 is 1\.2"),
        (",0.9,", ",nan,", "score of mine on game-S2 is nan"),
    ],
)
def test_scores_that_cannot_be_are_refused(submission, old, new, said):
    file = submission() / "results.csv"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(InvalidValueError, match=said):
        output.check_submission(file.parent)


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(FileError, match="no result of meshagents benchmark"):
        output.check_submission(tmp_path)

"""Experiments in small: run, cut, gone on with, scored; and the sums behind the scores."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from meshagents import Hyperparameters
from meshagents.experiments import comparisons, figure7, table5
from meshagents.experiments.jobs import Job, run_job, run_jobs
from meshagents.experiments.output import write_ablations, write_table5
from meshagents.experiments.table5 import PAPER, Table5
from meshgym.errors import FolderError, InvalidValueError, UnknownNameError

TINY = Hyperparameters(epochs=3, interactions=40, num_envs=20, batch_size=16, replay_size=100, width=8)


@pytest.fixture(scope="module")
def settings(services):
    return Table5(services, seeds=2, hyperparameters=TINY)


@pytest.fixture(scope="module")
def frame(settings, tmp_path_factory):
    return table5.run(settings, tmp_path_factory.mktemp("runs"), n_jobs=1)


def test_there_is_a_run_for_every_cell_and_seed(settings, frame):
    assert len(frame) == 2 * 10 * 2
    assert (frame.groupby(["label", "scenario", "seed"]).size() == 1).all()
    np.testing.assert_array_equal(frame["curve"].map(len), TINY.epochs)
    assert (frame["agent"] <= frame["oracle"] + 1e-9).all()
    assert (frame["oracle"] <= frame["joint_oracle"] + 1e-9).all()


def test_runs_are_not_done_twice(settings, tmp_path):
    jobs = settings.jobs()[-2:]
    seen = []
    first = run_jobs(jobs, tmp_path, 1, progress=lambda done, total: seen.append((done, total)))
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = run_jobs(jobs, tmp_path, 1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2), (2, 2)]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize("damage", ["", "[1, 2", json.dumps({"job": {"seed": 5}, "records": []})])
def test_results_of_another_job_do_not_count(settings, tmp_path, damage):
    job = settings.jobs()[-1]
    whole = run_jobs([job], tmp_path, 1)
    (tmp_path / job.filename).write_text(damage)
    pd.testing.assert_frame_equal(run_jobs([job], tmp_path, 1).drop(columns="cpu_s"), whole.drop(columns="cpu_s"))


def test_processes_do_not_change_the_result(settings, tmp_path, frame):
    jobs = settings.jobs()[:1] + settings.jobs()[-1:]
    done = run_jobs(jobs, tmp_path, n_jobs=2).drop(columns="cpu_s")
    known = frame.merge(done[["label", "scenario", "seed"]])
    pd.testing.assert_frame_equal(known[done.columns], done)


def test_names_of_results_differ(settings, services):
    names = [job.filename for job in [*settings.jobs(), *comparisons.ablation_jobs(services, TINY, 2)]]
    assert len(set(names)) == len(names)
    assert not set("&* ,") & set("".join(names))


def test_bad_settings_are_refused(settings, services, tmp_path):
    with pytest.raises(InvalidValueError, match="seeds"):
        Table5(services, seeds=0)
    with pytest.raises(InvalidValueError, match="services"):
        Table5(())
    with pytest.raises(UnknownNameError, match="loky"):
        run_jobs([], tmp_path, backend="mpi")
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="file"):
        run_jobs([settings.jobs()[-1]], tmp_path / "file", 1)


def test_table_shows_every_cell_once(frame):
    cells = table5.score(frame)
    alone = ["Call", "Thread", "Thread&Call", "Thread-Call", "Call-Thread"]
    assert list(dict.fromkeys(cell.label for cell in cells)) == alone + [f"{name}*2" for name in alone]
    text = table5.markdown(cells)
    assert "nan" not in text
    assert [line.count("|") for line in text.splitlines() if line.startswith("| Thread-Call*2")] == [4] * 3
    assert len(table5.to_frame(cells)) == len(cells) == 20
    for line in table5.shortfalls(cells):
        assert line.split(",")[0] in set(frame["label"])


def _records(label, scenario, agents, curve=(1.0, 2.0)):
    return [
        {
            "label": label, "scenario": scenario, "service": 0, "seed": seed, "variant": "", "paper_ratio": 2.0,
            "agent": agent, "random": 1.0, "fixed": 8.0, "oracle": 10.0, "joint_oracle": 20.0, "curve": list(curve),
        }
        for seed, agent in enumerate(agents)
    ]  # fmt: skip


def test_cells_by_hand():
    (cell,) = table5.score(pd.DataFrame(_records("Call", "S2", [9.0, 9.9, 9.6])))
    assert cell.paper == PAPER["Call"][1]
    assert cell.share.estimate == pytest.approx(0.95)
    assert cell.ratio.estimate == pytest.approx(9.5)
    assert (cell.fixed_share, cell.ceiling, cell.seeds) == (pytest.approx(0.8), 10, 3)
    assert table5.shortfalls([cell]) == ["Call, S2: 95.00% of the oracle"]
    (worse,) = table5.score(pd.DataFrame(_records("Call*2", "shop", [7.0])))
    assert math.isnan(worse.paper)
    assert len(table5.shortfalls([worse])) == 2


def test_claims_by_hand():
    single = _records("Call", "S1", [5.0, 5.2, 5.1]) + _records("Thread", "S1", [4.0, 4.1, 4.2])
    pairs = _records("Thread&Call", "S1", [9.0, 9.1, 9.2]) + _records("Thread-Call", "S1", [9.5, 9.7, 9.6])
    found = {(one.question, one.measure): one for one in comparisons.score(pd.DataFrame(single + pairs))}
    multi = found["multi better than single", "share"]
    assert multi.effect.difference.estimate == pytest.approx((np.mean([9.1, 9.6]) - 5.1) / 20)
    assert multi.answer == "yes"
    assert found["dependent better than independent", "share"].effect.pairs == 3
    assert found["dependent better than independent", "unrest"].answer == "undecided"
    assert not [question for question, _ in found if question.startswith("collaborative")]


def test_fewer_epochs_are_better():
    slow = _records("Call", "S1", [9.0] * 3, curve=[1.0] * 30 + [2.0] * 60)
    fast = _records("Call*2", "S1", [9.0] * 3, curve=[1.0] * 10 + [2.0] * 80)
    found = {one.measure: one for one in comparisons.score(pd.DataFrame(slow + fast))}
    assert found["epochs_to_95"].effect.difference.estimate == -20
    assert found["epochs_to_95"].answer == "yes"
    assert found["share"].answer == "undecided"


def test_ablations_are_compared_with_the_whole(services, tmp_path):
    frame = comparisons.run_ablations(services, TINY, 2, tmp_path, n_jobs=1)
    found = comparisons.score_ablations(frame)
    assert write_ablations(frame, tmp_path) == comparisons.markdown(found)
    assert len(found) == len(comparisons.ABLATIONS) * len(comparisons.CONTEXTS) * len(comparisons.MEASURES)
    assert all(one.effect.pairs == 4 for one in found)
    assert comparisons.markdown(found).count("\n") == len(found) + 1
    assert len(comparisons.to_frame(found)) == len(found)


def test_everything_is_written(frame, tmp_path):
    text = write_table5(frame, tmp_path)
    assert (tmp_path / "table5.md").read_text() == text + "\n"
    assert text.count("collaborative better than separate") == len(comparisons.MEASURES)
    assert len(pd.read_csv(tmp_path / "table5.csv")) == 20
    assert len(pd.read_csv(tmp_path / "figure7.csv")) == 20 * TINY.epochs
    assert (tmp_path / "figure7.png").stat().st_size > 10_000


def test_figure7_has_a_curve_for_every_cell(frame):
    curves = figure7.score(frame)
    assert len(curves) == 20 * TINY.epochs
    assert (curves["low"] <= curves["ratio"]).all()
    drawn = figure7.plot(curves)
    assert [len(axes.lines) for axes in drawn.axes] == [5] * 4


def test_job_is_named_as_in_the_table(services):
    assert Job("Thread&Call", services[:1] * 5, 0, TINY).label == "Thread&Call*5"
    (record,) = run_job(Job("Call", services[:1], 0, TINY))
    assert record["label"] == "Call"

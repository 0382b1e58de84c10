"""Experiments in small: run, cut, gone on with, scored; and the sums behind the scores."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from meshagents import Hyperparameters
from meshagents.experiments import comparisons, figure7, table5
from meshagents.experiments.jobs import CELL, Job, label, run_job, run_jobs
from meshagents.experiments.table5 import PAPER, Table5
from meshagents.report import plots
from meshagents.report.text import shortfalls, table5_text
from meshagents.report.write import write_ablations, write_table5
from meshagents.statistics import spread
from meshgym.errors import FolderError, InvalidValueError, UnknownNameError

TINY = Hyperparameters(epochs=3, interactions=40, num_envs=20, batch_size=16, replay_size=100, width=8)


@pytest.fixture(scope="module")
def experiment(services):
    return Table5(services, seeds=2, hyperparameters=TINY)


@pytest.fixture(scope="module")
def frame(experiment, tmp_path_factory):
    return table5.run(experiment, tmp_path_factory.mktemp("trainings"), n_jobs=1)


def test_there_is_a_training_for_every_cell_and_seed(experiment, frame):
    assert len(frame) == 2 * 10 * 2
    assert (frame.groupby([*CELL, "seed"]).size() == 1).all()
    np.testing.assert_array_equal(frame["curve"].map(len), TINY.epochs)
    assert (frame["agent"] <= frame["oracle"] + 1e-9).all()
    assert (frame["oracle"] <= frame["joint_oracle"] + 1e-9).all()


def test_trainings_are_not_done_twice(experiment, tmp_path):
    jobs = experiment.jobs()[-2:]
    seen = []
    first = run_jobs(jobs, tmp_path, 1, progress=lambda done, total: seen.append((done, total)))
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = run_jobs(jobs, tmp_path, 1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2), (2, 2)]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize("damage", ["", "[1, 2", json.dumps({"job": {"seed": 5}, "records": []})])
def test_results_of_another_job_do_not_count(experiment, tmp_path, damage):
    job = experiment.jobs()[-1]
    whole = run_jobs([job], tmp_path, 1)
    (tmp_path / job.filename).write_text(damage)
    pd.testing.assert_frame_equal(run_jobs([job], tmp_path, 1).drop(columns="cpu_s"), whole.drop(columns="cpu_s"))


@pytest.mark.slow
def test_processes_do_not_change_the_result(experiment, tmp_path, frame):
    jobs = experiment.jobs()[:1] + experiment.jobs()[-1:]
    done = run_jobs(jobs, tmp_path, n_jobs=2).drop(columns="cpu_s")
    known = frame.merge(done[[*CELL, "seed"]])
    pd.testing.assert_frame_equal(known[done.columns], done)


def test_names_of_results_differ(experiment, services):
    names = [job.filename for job in [*experiment.jobs(), *comparisons.ablation_jobs(services, TINY, 2)]]
    assert len(set(names)) == len(names)
    assert not set("&* ,") & set("".join(names))


def test_bad_experiments_are_refused(experiment, services, tmp_path):
    with pytest.raises(InvalidValueError, match="seeds"):
        Table5(services, seeds=0)
    with pytest.raises(InvalidValueError, match="tasks"):
        Table5(())
    with pytest.raises(UnknownNameError, match="loky"):
        run_jobs([], tmp_path, backend="mpi")
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="file"):
        run_jobs([experiment.jobs()[-1]], tmp_path / "file", 1)


def test_table_shows_every_cell_once(frame):
    cells = table5.score(frame)
    alone = ["Call", "Thread", "Thread&Call", "Thread-Call", "Call-Thread"]
    labels = [label(cell.configuration, cell.services) for cell in cells.itertuples()]
    assert list(dict.fromkeys(labels)) == alone + [f"{name}*2" for name in alone]
    text = table5_text(table5.tables(frame))
    assert "nan" not in text
    assert [line.count("|") for line in text.splitlines() if line.startswith("| Thread-Call*2")] == [4] * 3 + [4]
    assert len(cells) == 20
    for line in shortfalls(spread(cells)):
        assert line.split(",")[0] in labels


def _records(configuration, scenario, agents, curve=(1.0, 2.0), services=1):
    return [
        {
            "configuration": configuration, "services": services, "scenario": scenario, "task": 0, "seed": seed,
            "ablation": "", "paper_ratio": 2.0, "cpu_s": 1.0,
            "agent": agent, "random": 1.0, "fixed": 8.0, "oracle": 10.0, "joint_oracle": 20.0, "curve": list(curve),
        }
        for seed, agent in enumerate(agents)
    ]  # fmt: skip


def test_cells_by_hand():
    cells = table5.score(pd.DataFrame(_records("Call", "S2", [9.0, 9.9, 9.6])))
    (cell,) = cells.itertuples()
    assert cell.paper == PAPER["Call"][0][1]
    assert cell.share.estimate == pytest.approx(0.95)
    assert cell.ratio.estimate == pytest.approx(9.5)
    assert (cell.fixed_share, cell.ceiling, cell.seeds) == (pytest.approx(0.8), 10, 3)
    assert list(shortfalls(spread(cells))) == ["Call, S2: 95.00% of the oracle"]
    worse = table5.score(pd.DataFrame(_records("Call", "shop", [7.0], services=2)))
    assert math.isnan(worse["paper"].item())
    assert len(list(shortfalls(spread(worse)))) == 2


def test_claims_by_hand():
    single = _records("Call", "S1", [5.0, 5.2, 5.1]) + _records("Thread", "S1", [4.0, 4.1, 4.2])
    pairs = _records("Thread&Call", "S1", [9.0, 9.1, 9.2]) + _records("Thread-Call", "S1", [9.5, 9.7, 9.6])
    found = {(one.question, one.measure): one for one in comparisons.score(pd.DataFrame(single + pairs)).itertuples()}
    multi = found["multi better than single", "share"]
    assert multi.difference.estimate == pytest.approx((np.mean([9.1, 9.6]) - 5.1) / 20)
    assert multi.holds == "yes"
    assert found["dependent better than independent", "share"].pairs == 3
    assert found["dependent better than independent", "unrest"].holds == "undecided"
    assert not [question for question, _ in found if question.startswith("collaborative")]


def test_fewer_epochs_are_better():
    slow = _records("Call", "S1", [9.0] * 3, curve=[1.0] * 30 + [2.0] * 60)
    fast = _records("Call", "S1", [9.0] * 3, curve=[1.0] * 10 + [2.0] * 80, services=2)
    found = {one.measure: one for one in comparisons.score(pd.DataFrame(slow + fast)).itertuples()}
    assert found["epochs_to_95"].difference.estimate == -20
    assert found["epochs_to_95"].holds == "yes"
    assert found["share"].holds == "undecided"


@pytest.mark.slow
def test_ablations_are_compared_with_the_whole(services, tmp_path):
    frame = run_jobs(comparisons.ablation_jobs(services, TINY, 2), tmp_path, n_jobs=1)
    found = comparisons.score_ablations(frame)
    text = write_ablations(tmp_path, found)
    assert (tmp_path / "ablations.md").read_text() == text + "\n"
    assert len(found) == len(comparisons.ABLATIONS) * len(comparisons.CONTEXTS) * len(comparisons.MEASURES)
    assert all(one.pairs == 4 for one in found.itertuples())
    assert text.count("\n") == len(found) + 1
    assert len(pd.read_csv(tmp_path / "ablations.csv")) == len(found)


def test_everything_is_written(experiment, frame, tmp_path):
    text = write_table5(tmp_path, experiment, frame, table5.tables(frame))
    assert (tmp_path / "table5.md").read_text() == text + "\n"
    assert text.count("collaborative better than separate") == len(comparisons.MEASURES)
    assert len(pd.read_csv(tmp_path / "table5.csv")) == 20
    assert len(pd.read_csv(tmp_path / "figure7.csv")) == 20 * TINY.epochs
    assert len(pd.read_csv(tmp_path / "aggregate.csv")) == 10
    assert json.loads((tmp_path / "table5.json").read_text())["kind"] == "table5"
    assert (tmp_path / "figure7.png").stat().st_size > 10_000


def test_figure7_has_a_curve_for_every_cell(frame):
    curves = spread(figure7.score(frame))
    assert len(curves) == 20 * TINY.epochs
    assert (curves["ratio_low"] <= curves["ratio"]).all()
    drawn = plots.figure7(curves)
    assert [len(axes.lines) for axes in drawn.axes] == [5] * 4


def test_job_is_named_as_in_the_table(services):
    assert Job("Thread&Call", services[:1] * 5, 0, TINY).label == "Thread&Call*5"
    (record,) = run_job(Job("Call", services[:1], 0, TINY))
    assert (record["configuration"], record["services"]) == ("Call", 1)


def test_aggregates_by_hand():
    shares = [[0.2, 0.9, 1.0, 1.0], [0.4, 0.5, 0.6, 0.7]]
    records = [
        record
        for task, agents in enumerate(np.array(shares).T * 10)
        for record in _records("Call", f"S{task + 1}", agents)
    ]
    (found,) = table5.aggregate(pd.DataFrame(records)).itertuples()
    assert found.interquartile_mean.estimate == pytest.approx(np.mean([0.5, 0.6, 0.7, 0.9]))
    assert found.optimality_gap.estimate == pytest.approx(1 - np.mean(shares))
    for interval in (found.interquartile_mean, found.optimality_gap):
        assert interval.low <= interval.estimate <= interval.high

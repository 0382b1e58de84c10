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
from meshagents.experiments.table5 import PAPER, Table5
from meshagents.report import plots, text
from meshagents.report.results import write_ablations, write_table5
from meshagents.statistics import flatten
from meshagents.training.configurations import label
from meshgym.errors import FolderError, InvalidValueError, UnknownNameError

TINY = Hyperparameters(epochs=3, interactions=40, num_envs=20, batch_size=16, replay_size=100, width=8)


@pytest.fixture(scope="module")
def table(services):
    return Table5(services, seeds=2, hyperparameters=TINY)


@pytest.fixture(scope="module")
def frame(table, tmp_path_factory):
    return table5.run(table, tmp_path_factory.mktemp("trainings"), n_jobs=1)


def test_there_is_a_training_for_every_cell_and_seed(frame):
    assert len(frame) == 2 * 10 * 2
    assert (frame.groupby(["configuration", "services", "scenario", "seed"]).size() == 1).all()
    np.testing.assert_array_equal(frame["curve"].map(len), TINY.epochs)
    assert (frame["agent"] <= frame["oracle"] + 1e-9).all()
    assert (frame["oracle"] <= frame["joint_oracle"] + 1e-9).all()


def test_trainings_are_not_done_twice(table, tmp_path):
    jobs = table.jobs()[-2:]
    seen = []
    first = run_jobs(jobs, tmp_path, 1, progress=lambda done, total: seen.append((done, total)))
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = run_jobs(jobs, tmp_path, 1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2), (2, 2)]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize("damage", ["", "[1, 2", json.dumps({"job": {"seed": 5}, "records": []})])
def test_results_of_another_job_do_not_count(table, tmp_path, damage):
    job = table.jobs()[-1]
    whole = run_jobs([job], tmp_path, 1)
    (tmp_path / job.filename).write_text(damage)
    pd.testing.assert_frame_equal(run_jobs([job], tmp_path, 1).drop(columns="cpu_s"), whole.drop(columns="cpu_s"))


def test_processes_do_not_change_the_result(table, tmp_path, frame):
    jobs = table.jobs()[:1] + table.jobs()[-1:]
    done = table5.in_order(run_jobs(jobs, tmp_path, n_jobs=2).drop(columns="cpu_s"))
    known = frame.merge(done[["configuration", "services", "scenario", "seed"]])
    pd.testing.assert_frame_equal(known[done.columns], done)


def test_names_of_results_differ(table, services):
    jobs = [*table.jobs(), *comparisons.ablation_jobs(services, TINY, 2)]
    names = {job.filename for job in jobs}
    assert len(names) == len({json.dumps(job.identity()) for job in jobs}) == len(jobs) - 2  # the whole is in both
    assert not set("&* ,") & set("".join(names))


def test_bad_settings_are_refused(table, services, tmp_path):
    with pytest.raises(InvalidValueError, match="seeds"):
        Table5(services, seeds=0)
    with pytest.raises(InvalidValueError, match="tasks"):
        Table5(())
    with pytest.raises(UnknownNameError, match="loky"):
        run_jobs([], tmp_path, backend="mpi")
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="file"):
        run_jobs([table.jobs()[-1]], tmp_path / "file", 1)


def test_table_shows_every_cell_once(frame):
    cells = table5.score(frame)
    alone = ["Call", "Thread", "Thread&Call", "Thread-Call", "Call-Thread"]
    assert list(map(label, cells["configuration"], cells["services"]))[::2] == alone + [f"{name}*2" for name in alone]
    shown = text.table5(table5.tables(frame), 0, 0)
    assert "nan" not in shown
    assert [line.count("|") for line in shown.splitlines() if line.startswith("| Thread-Call*2")] == [4] * 4
    assert len(cells) == 20
    for cell in table5.shortfalls(cells).itertuples():
        assert f"\n- {label(cell.configuration, cell.services)}, {cell.scenario}: " in shown


def _records(configuration, scenario, agents, curve=(1.0, 2.0), services=1):
    return [
        {
            "configuration": configuration, "services": services, "scenario": scenario, "task": 0, "seed": seed,
            "ablation": "", "drawn": "uniform", "paper_ratio": 2.0,
            "agent": agent, "random": 1.0, "fixed": 8.0, "oracle": 10.0, "joint_oracle": 20.0, "curve": list(curve),
        }
        for seed, agent in enumerate(agents)
    ]  # fmt: skip


def test_cells_by_hand():
    cells = table5.score(pd.DataFrame(_records("Call", "S2", [9.0, 9.9, 9.6])))
    (cell,) = cells.itertuples()
    assert cell.paper == PAPER["Call"][1]
    assert cell.share.estimate == pytest.approx(0.95)
    assert cell.ratio.estimate == pytest.approx(9.5)
    assert (cell.fixed_share, cell.ceiling, cell.seeds) == (pytest.approx(0.8), 10, 3)
    (short,) = table5.shortfalls(cells).itertuples()
    assert (short.below_goal, short.below_fixed) == (True, False)
    worse = table5.score(pd.DataFrame(_records("Call", "shop", [7.0], services=2)))
    assert math.isnan(worse["paper"].item())
    (short,) = table5.shortfalls(worse).itertuples()
    assert (short.below_goal, short.below_fixed) == (True, True)


def test_aggregates_by_hand():
    shares = [9.0, 9.2, 9.4, 9.6], [8.0, 8.2, 8.4, 8.6]
    records = _records("Call", "S1", shares[0]) + _records("Call", "S2", shares[1])
    (row,) = table5.aggregate(pd.DataFrame(records)).itertuples()
    assert row.iqm.estimate == pytest.approx(np.mean([0.84, 0.86, 0.9, 0.92]))
    assert row.optimality_gap.estimate == pytest.approx(1 - np.mean(shares) / 10)
    assert row.iqm.low < row.iqm.estimate < row.iqm.high


def test_claims_by_hand():
    single = _records("Call", "S1", [5.0, 5.2, 5.1]) + _records("Thread", "S1", [4.0, 4.1, 4.2])
    pairs = _records("Thread&Call", "S1", [9.0, 9.1, 9.2]) + _records("Thread-Call", "S1", [9.5, 9.7, 9.6])
    found = {(one.claim, one.measure): one for one in comparisons.score(pd.DataFrame(single + pairs)).itertuples()}
    multi = found["multi better than single", "share"]
    assert multi.difference.estimate == pytest.approx((np.mean([9.1, 9.6]) - 5.1) / 20)
    assert multi.holds == "yes"
    assert found["dependent better than independent", "share"].pairs == 3
    assert found["dependent better than independent", "unrest"].holds == "undecided"
    assert not [claim for claim, _ in found if claim.startswith("collaborative")]


def test_fewer_epochs_are_better():
    slow = _records("Call", "S1", [9.0] * 3, curve=[1.0] * 30 + [2.0] * 60)
    fast = _records("Call", "S1", [9.0] * 3, curve=[1.0] * 10 + [2.0] * 80, services=2)
    found = {one.measure: one for one in comparisons.score(pd.DataFrame(slow + fast)).itertuples()}
    assert found["epochs_to_95"].difference.estimate == -20
    assert found["epochs_to_95"].holds == "yes"
    assert found["share"].holds == "undecided"


def test_ablations_are_compared_with_the_whole(services, tmp_path):
    frame = comparisons.run_ablations(services, TINY, 2, tmp_path, n_jobs=1)
    found = comparisons.score_ablations(frame)
    assert write_ablations(tmp_path, found) == text.comparisons(found)
    assert len(pd.read_csv(tmp_path / "ablations.csv")) == len(found)
    assert len(found) == len(comparisons.ABLATIONS) * len(comparisons.CONTEXTS) * len(comparisons.MEASURES)
    assert (found["pairs"] == 4).all()
    assert text.comparisons(found).count("\n") == len(found) + 1


def test_everything_is_written(table, frame, tmp_path):
    shown = write_table5(tmp_path, table, frame, table5.tables(frame))
    assert (tmp_path / "table5.md").read_text() == shown + "\n"
    assert shown.count("collaborative better than separate") == len(comparisons.MEASURES)
    assert len(pd.read_csv(tmp_path / "table5.csv")) == 20
    assert len(pd.read_csv(tmp_path / "figure7.csv")) == 20 * TINY.epochs
    assert (tmp_path / "figure7.png").stat().st_size > 10_000


def test_figure7_has_a_curve_for_every_cell(frame):
    curves = figure7.score(frame)
    assert len(curves) == 20 * TINY.epochs
    assert all(interval.low <= interval.estimate for interval in curves["ratio"])
    drawn = plots.figure7(flatten(curves))
    assert [len(axes.lines) for axes in drawn.axes] == [5] * 4


def test_job_is_named_as_in_the_table(services):
    assert label("Thread&Call", 5) == "Thread&Call*5"
    assert Job("Thread&Call", services[:1] * 5, 0, TINY).filename.startswith("Thread+Callx5_")
    (record,) = run_job(Job("Call", services[:1], 0, TINY))
    assert (record["configuration"], record["services"]) == ("Call", 1)

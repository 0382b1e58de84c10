"""Whatever is killed, and whatever is measured next: nothing is lost, nothing is measured twice."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from meshes import FakeMesh, SlowMesh

import meshagents
from meshagents.validation.decisions import draw_contexts
from meshagents.validation.measure import Validation, interleave, measure, read_runs
from meshgym.errors import TraceError
from meshgym.files import lock
from meshgym.scenarios import parse_scenario
from meshgym.types import SETTING_NAMES

RUN = [*SETTING_NAMES, "repeat"]


@pytest.fixture(scope="module")
def decisions(shop):
    contexts = draw_contexts(shop, 12, seed=1)
    other = contexts.copy()
    other[:6, 8] = 60
    return {"random": contexts, "other": other, "same": other.copy()}


def test_each_setting_is_planned_once_a_round(decisions):
    plan = interleave(decisions, 3, seed=0)
    distinct = np.unique(np.concatenate(list(decisions.values())), axis=0)
    assert len(plan) == 3 * len(distinct)
    for repeat in range(3):
        part = plan.settings[plan.repeat == repeat]
        np.testing.assert_array_equal(np.unique(part, axis=0), distinct)
    assert (np.diff(plan.repeat) >= 0).all()
    first, second = (plan.settings[plan.repeat == repeat] for repeat in (0, 1))
    assert (first != second).any()
    assert interleave(decisions, 3, seed=0).sha256 == plan.sha256 != interleave(decisions, 3, seed=1).sha256


def test_policies_of_a_context_are_measured_side_by_side(shop):
    contexts = draw_contexts(shop, 40, seed=1)
    _, first = np.unique(contexts[:, :7], axis=0, return_index=True)
    contexts = contexts[first]
    contexts[:, 7:] = 1, 20
    other = contexts.copy()
    other[:, 7] = 4
    plan = interleave({"random": contexts, "other": other}, 1, seed=0)
    np.testing.assert_array_equal(plan.settings[::2, :7], plan.settings[1::2, :7])
    assert 0 < (plan.settings[::2, 7] == 1).mean() < 1  # they take turns


def measured(decisions, shop, folder, repeats=2, **more):
    seen = []
    more = {"mesh": FakeMesh(), "progress": lambda done, total: seen.append((done, total)), **more}
    return measure(decisions, shop, folder, Validation(repeats=repeats), **more), seen


def test_what_is_there_counts_for_other_decisions_and_more_repeats(decisions, shop, tmp_path):
    few, _ = measured({"random": decisions["random"][:5]}, shop, tmp_path, repeats=1)
    runs, seen = measured(decisions, shop, tmp_path)
    assert seen[0][0] == len(few)
    assert seen[-1][0] == seen[-1][1] == len(runs)
    assert not read_runs(tmp_path, shop, FakeMesh()).duplicated(RUN).any()
    again, seen = measured(decisions, shop, tmp_path)
    assert seen == [(len(runs), len(runs))]
    pd.testing.assert_frame_equal(again, runs)
    fewer, _ = measured({"random": decisions["random"][:5]}, shop, tmp_path, repeats=1)
    assert fewer[RUN].sort_values(RUN).to_numpy().tolist() == few[RUN].sort_values(RUN).to_numpy().tolist()


class OtherMesh(FakeMesh):
    """Of the same kind, but with another service behind it."""

    def about(self):
        return {"mesh": "other"}


def test_measurements_of_another_mesh_or_scenario_do_not_count(decisions, shop, shop_text, tmp_path):
    measured(decisions, shop, tmp_path, repeats=1)
    twin = parse_scenario("twin", shop_text)
    for scenario, mesh in ((twin, FakeMesh()), (shop, OtherMesh())):
        assert read_runs(tmp_path, scenario, mesh).empty
        _, seen = measured(decisions, scenario, tmp_path, repeats=1, mesh=mesh)
        assert seen[0][0] == 0
        assert len(read_runs(tmp_path, scenario, mesh)) == seen[0][1]


def test_damaged_measurements_are_named(decisions, shop, tmp_path):
    measured(decisions, shop, tmp_path, repeats=1)
    (path,) = tmp_path.glob("*/collection.db")
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE runs SET p503 = 0 WHERE p503 > 0")
    with pytest.raises(TraceError, match=r"collection\.db.*the checksum of run \d+ doesn't fit"):
        read_runs(tmp_path, shop, FakeMesh())


def test_only_one_measures_for_a_folder(decisions, shop, tmp_path):
    with lock(tmp_path / "lock", TraceError("busy")), pytest.raises(TraceError, match="another collector"):
        measured(decisions, shop, tmp_path)


KILLED = """
import sys
from pathlib import Path
from meshagents.validation.decisions import draw_contexts
from meshagents.validation.measure import Validation, measure
from meshes import SlowMesh
from meshgym.scenarios import load_scenario

if __name__ == "__main__":
    shop = load_scenario(sys.argv[1])
    measure({"random": draw_contexts(shop, 40, seed=1)}, shop, Path(sys.argv[2]), Validation(repeats=2), SlowMesh())
"""


@pytest.mark.slow
def test_after_kills_it_ends_as_if_it_had_not_been_disturbed(shop, shop_text, tmp_path):
    (tmp_path / "shop.toml").write_text(shop_text)
    script, folder = tmp_path / "killed.py", tmp_path / "killed"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(tmp_path / "shop.toml"), str(folder)]
    paths = [Path(__file__).parents[2], Path(meshagents.__file__).parents[1]]
    environment = {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    kept = 0
    for _ in range(2):
        process = subprocess.Popen(command, env=environment)
        while len(read_runs(folder, shop, SlowMesh())) < kept + 5:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = len(read_runs(folder, shop, SlowMesh()))
    decisions = {"random": draw_contexts(shop, 40, seed=1)}
    undisturbed, _ = measured(decisions, shop, tmp_path / "undisturbed")
    assert kept < len(undisturbed)
    resumed, seen = measured(decisions, shop, folder, mesh=SlowMesh())
    assert seen[0] == (kept, len(undisturbed))
    assert not read_runs(folder, shop, SlowMesh()).duplicated(RUN).any()
    columns = [*RUN, "qps", "p200", "p503", "ok", "overflow"]
    pd.testing.assert_frame_equal(resumed[columns], undisturbed[columns])

"""A replay asks mesh and simulator the same, and its summary compares policies under the same rules."""

import numpy as np
import pytest

from meshagents import plots
from meshagents.baselines import FixedAgent, OracleAgent, RandomAgent
from meshagents.evaluation import RewardGrid
from meshagents.quickstart import in_words
from meshagents.task import Task
from meshagents.training import History
from meshagents.validation import replay, summary
from meshgym.envs.spaces import observation_space
from meshgym.errors import UnknownNameError
from meshgym.simulator import SimulatedMesh, response_table
from meshgym.testing import FakeMesh
from meshgym.types import SETTING_NAMES, Setting


@pytest.fixture
def policies(shop, simulator):
    low = observation_space(shop, None).low
    task = Task(low, low + 1, np.array([3, 4]), 7)
    return {
        "random": RandomAgent(task, 0),
        "fixed": FixedAgent((2, 3)),
        "oracle": OracleAgent(simulator, shop, "both"),
    }


@pytest.fixture
def replayed(policies, shop, simulator):
    with FakeMesh() as mesh:
        return replay(policies, shop, simulator, mesh, contexts=20, seed=3)


def test_every_policy_meets_the_same_rules(replayed, policies):
    assert len(replayed) == 20 * len(policies)
    rules = list(SETTING_NAMES[:7])
    assert (replayed.groupby("context")[rules].nunique() == 1).all().all()
    orders = replayed.groupby("context")["policy"].agg(tuple)
    assert orders.nunique() > 1  # they take turns


def test_both_sides_answer_the_setting_in_the_row(replayed, simulator):
    with FakeMesh() as fake, SimulatedMesh(simulator) as simulated:
        for _, row in replayed.iterrows():
            setting = Setting.from_row(row[list(SETTING_NAMES)])
            live, said = (mesh.measure(setting.rules, setting.load) for mesh in (fake, simulated))
            assert row["qps_live"] == live.qps
            assert row["p503_live"] == live.p503
            assert row["qps_sim"] == pytest.approx(said.qps)
            assert row["reward_live"] == pytest.approx(live.qps * live.p503)


def test_a_simulator_as_the_mesh_leaves_no_gap(policies, shop, simulator):
    with SimulatedMesh(simulator) as mesh:
        table = summary(replay(policies, shop, simulator, mesh, contexts=10))
    for _, row in table.iterrows():
        assert row["live"].estimate == pytest.approx(row["sim"].estimate)


def test_nothing_beats_the_oracle_in_simulation(replayed):
    by_context = replayed.pivot_table(index="context", columns="policy", values="reward_sim")
    assert (by_context["oracle"] >= by_context.max(axis=1) - 1e-6).all()


def test_the_summary_has_means_and_ratios_over_random(replayed):
    table = summary(replayed)
    means = replayed.groupby("policy")["reward_live"].mean()
    for name, row in table.iterrows():
        assert row["live"].estimate == pytest.approx(means[name])
        assert row["live_ratio"].estimate == pytest.approx(means[name] / means["random"])
        assert row["live_ratio"].low <= row["live_ratio"].estimate <= row["live_ratio"].high


@pytest.mark.parametrize("control", ["threads", "calls"])
def test_the_oracle_of_one_control_is_the_best_for_the_other_setting_given(shop, simulator, control):
    grid = RewardGrid.of_table(response_table(simulator, shop))
    observations, rewards = grid.view(control)
    chosen = OracleAgent(simulator, shop, control).act(observations)
    best = rewards[np.arange(len(rewards)), chosen]
    assert best == pytest.approx(rewards.max(axis=1))


def test_an_unknown_control_is_refused(shop, simulator):
    with pytest.raises(UnknownNameError, match="control"):
        OracleAgent(simulator, shop, "call")


def test_a_decision_in_words_names_rules_load_and_outcome(replayed):
    run = replayed.iloc[0]
    said = in_words(run)
    assert f"max_connections {run['max_connections']:g}" in said
    assert f"{run['threads']:.0f} threads sending {run['calls']:.0f} calls" in said
    assert f"{run['p503_live']:.0%}" in said


def test_figures_are_written(replayed, shop, tmp_path):
    history = History([np.array(1.0), np.array(2.0)], [np.array(1.0), np.array(1.0)], [0.5, 0.4])
    surface = np.arange(12.0).reshape(3, 4)
    figures = {
        "curve": plots.learning_curve(history),
        "scatter": plots.predicted_against_measured(replayed),
        "surface": plots.reward_surface(surface, shop.actions["threads"], shop.actions["calls"], (2, 3), "title"),
    }
    for name, figure in figures.items():
        assert plots.save(figure, tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")

"""Rules and loads within objectives: the best of all that are certain, or what limits them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshagents.cli.main import main
from meshagents.recommend.advice import advise
from meshagents.recommend.front import front, spread_over
from meshagents.recommend.request import Request
from meshagents.recommend.search import all_loads
from meshagents.recommend.within import find_within
from meshagents.training.tasks import Task
from meshgym.errors import InvalidValueError, SloError
from meshgym.rewards import Run, apply_reward, load_reward
from meshgym.slo.objective import Goodput, Margin, read_slo
from meshgym.testing import FakeMesh
from meshgym.types import Response, TrafficRules


def certain(simulator, rules, load, most_503):
    """Ask one by one whether the upper end of p503's interval is low enough, and how many 200s per second there are."""
    setting = [[*rules, load.threads, load.calls]]
    response, intervals = simulator.predict(setting), simulator.intervals(setting)
    return intervals["p503"][0, 1] <= most_503, float(response.qps[0] * response.p200[0])


@pytest.fixture
def most_503(shop, simulator):
    """A bound that some settings keep and others don't."""
    ends = [
        simulator.intervals([[*rules, load.threads, load.calls]])["p503"][0, 1]
        for rules in shop.rule_grid()[::7]
        for load in all_loads(shop)
    ]
    return float(np.quantile(ends, 0.3))


def test_it_is_the_best_of_all_that_are_certain(shop, simulator, most_503):
    loads, slo = all_loads(shop), read_slo([f"p503<{most_503:.6f}"])
    every = {
        (number, load): certain(simulator, rules, load, round(most_503, 6))
        for number, rules in enumerate(shop.rule_grid())
        for load in loads
    }
    best = max(rate for kept, rate in every.values() if kept)
    rules, found = find_within(simulator, shop, slo, None, ())
    number = shop.rule_grid().tolist().index([float(value) for value in rules.to_dict().values()])
    assert every[number, found.load][0]
    assert found.goodput == pytest.approx(best)
    assert found.share == pytest.approx(np.mean([every[number, load][0] for load in loads]))
    assert found.tried == 108
    given, again = find_within(simulator, shop, slo, rules, ())
    assert (given, again.load, again.tried) == (rules, found.load, 1)


def test_under_given_loads_the_margin_is_the_largest(shop, simulator, most_503):
    slo = read_slo([f"p503<{1 - (1 - most_503) / 4:.6f}"])
    loads = all_loads(shop)[::5]

    def smallest(rules):
        ends = [simulator.intervals([[*rules, load.threads, load.calls]])["p503"][0, 1] for load in loads]
        return min(slo[0].margin_of(ends))

    every = [smallest(rules) for rules in shop.rule_grid()]
    rules, found = find_within(simulator, shop, slo, None, loads)
    assert found.given
    assert found.margin == pytest.approx(max(every))
    assert smallest(rules.to_dict().values()) == pytest.approx(max(every))
    assert found.share == 1
    with pytest.raises(SloError, match=r"no rules keep .* under all of these loads"):
        find_within(simulator, shop, read_slo(["p503<0.01%"]), None, loads)


@given(
    arrays(np.float64, st.tuples(st.integers(0, 60), st.integers(2, 3)), elements=st.integers(0, 9).map(float)),
)
def test_a_front_is_what_nothing_undercuts(costs):
    def undercut(row, other):
        return (other <= row).all() and (other < row).any()

    wanted = {tuple(row) for row in costs if not any(undercut(row, other) for other in costs)}
    found = front(costs)
    assert len(found) == len(wanted)
    assert {tuple(row) for row in costs[found]} == wanted
    assert (np.diff(costs[found, 0]) >= 0).all()
    chosen = spread_over(costs[found], 5)
    assert len(chosen) <= 5 or len(found) <= 5
    if len(found):
        ends = costs[found][chosen, 0]
        assert (ends[0], ends[-1]) == (costs[found, 0].min(), costs[found, 0].max())


def test_the_front_goes_with_the_answer(shop, simulator):
    _, found = find_within(simulator, shop, read_slo(["p503<99%"]), None, ())
    rates = [point.goodput for point in found.front]
    assert 1 <= len(rates) <= 12
    assert rates == sorted(rates, reverse=True)
    assert rates[0] >= found.goodput
    assert json.dumps(found.to_dict())


def test_where_nothing_is_certain_it_says_what_limits(shop, simulator):
    loads = all_loads(shop)
    with pytest.raises(SloError, match=r"throughput>100000/s is missed by everything, by \d+% of it at least"):
        find_within(simulator, shop, read_slo(["throughput>100000/s", "p503<99%"]), None, loads)
    with pytest.raises(InvalidValueError, match="within the traces"):
        find_within(simulator, shop, read_slo(["p503<99%"]), TrafficRules(*[50] * 2, 2, 180, 30, 0.2, 1), loads)


def test_what_is_measured_must_keep_them(tmp_path, shop, simulator, most_503):
    task, text = Task(shop, simulator), f"p503<{most_503:.6f}"
    _, paths = advise(task, Request(slo=(text,)), tmp_path, lambda scenario: FakeMesh())
    written = json.loads((tmp_path / "recommendation.json").read_text())
    assert written["within"]["goodput"] > 0
    assert written["kept"] is None
    said = (tmp_path / "recommendation.md").read_text()
    assert f"Within {text}, with 95 % certainty. Of 108 sets of rules and 12 loads" in said
    assert paths
    page = (tmp_path / "recommendation.html").read_text()
    assert page.count("<svg") == 2  # the outcomes over the load, and the compromises
    assert f"Within {text.replace('<', '&lt;')}, with 95 % certainty" in page
    assert "The best compromises" in said
    measured = Request(slo=("p503<0.999999",), measure=True, repeats=3)
    advise(task, measured, tmp_path, lambda scenario: FakeMesh())
    assert json.loads((tmp_path / "recommendation.json").read_text())["kept"] == 3
    assert "Measured: kept in 3 of 3 runs." in (tmp_path / "recommendation.md").read_text()

    class Down(FakeMesh):
        def measure(self, rules, load):
            return super().measure(rules, load)._replace(p200=0.0, p503=1.0)

    with pytest.raises(SloError, match="kept in 0 of 3 runs"):
        advise(task, measured, tmp_path, lambda scenario: Down())


def test_wrong_use(capsys):
    assert main(["recommend", "S1", "--slo", "fast"]) == 2
    assert "objective is 'fast'" in capsys.readouterr().err
    assert main(["recommend", "S1", "--slo", "p99<1s", "--direct", "5", "--rules", "max_connections=2"]) == 2
    assert "without --slo" in capsys.readouterr().err


def test_rewards_to_match():
    response = Response(np.array([100.0, 200.0]), np.array([1.0, 0.9]), np.array([0.0, 0.1]))
    run = Run({}, {"calls": np.array([10, 10])}, response)
    assert Goodput("success>95%")(run).tolist() == [100, 0]
    assert Margin("success>95%")(run).tolist() == pytest.approx([1.0, -1.0])
    reward = load_reward(Goodput("success>80%", "throughput>150/s"))
    assert apply_reward(reward, response, np.zeros((2, 2)), ("threads", "calls")).tolist() == [0, 180]

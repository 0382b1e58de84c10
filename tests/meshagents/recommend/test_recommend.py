"""Recommendations: the search finds what there is to find, and what is written can be deployed."""

import json

import numpy as np
import pytest
import yaml

from meshagents.cli.main import main
from meshagents.recommend import search
from meshagents.recommend.inputs import Given, read_load, read_names, read_rules
from meshagents.recommend.output import Report, Run, fortio, to_markdown
from meshagents.recommend.request import Request
from meshagents.recommend.search import Expected, all_loads, best_rules, expect, recommend
from meshagents.statistics import Interval
from meshgym.errors import FileError, FolderError, InvalidValueError, LoadError, UnknownNameError
from meshgym.rules.destination_rule import Chosen, DestinationRule
from meshgym.rules.policy import traffic_rules
from meshgym.simulator import SimulatedMesh
from meshgym.testing import FakeMesh
from meshgym.types import RULE_NAMES, Load, Response, TrafficRules

LOADS = [Load(1, 20), Load(4, 60), Load(2, 40)]


@pytest.fixture
def rates(shop, simulator):
    """200s and 503s a second of all rules under all loads of the shop, shape (2, 108, 12), asked one by one."""
    with SimulatedMesh(simulator) as mesh:
        rules = [TrafficRules(*row) for row in shop.rule_grid()]
        answers = [[mesh.measure(one, load) for load in all_loads(shop)] for one in rules]
    return np.array(
        [[[answer.qps * getattr(answer, n) for answer in row] for row in answers] for n in ("p200", "p503")]
    )


@pytest.mark.parametrize(("criterion", "over"), [("worst", np.min), ("mean", np.mean)])
def test_the_best_rules_are_the_best_of_all(shop, simulator, rates, criterion, over):
    answered, refused = rates
    score = over(answered / answered.max(axis=0), axis=1)
    rules, found = best_rules(simulator, shop, all_loads(shop), criterion=criterion)
    taken = shop.rule_grid().tolist().index(list(rules.to_dict().values()))
    alike = score >= score.max() - 0.01
    assert alike[taken]
    assert refused[taken].max() == pytest.approx(refused[alike].max(axis=1).min())
    summary = (found.score, found.highest, found.median, found.lowest)
    assert summary == pytest.approx((score[taken], score.max(), np.median(score), score.min()))
    assert found.tried == found.total == 108


def test_under_one_load_the_best_rules_answer_most(shop, simulator, rates, monkeypatch):
    monkeypatch.setattr(search, "ALIKE", 0)
    load = all_loads(shop)[5]
    rules, found = best_rules(simulator, shop, [load])
    with SimulatedMesh(simulator) as mesh:
        response = mesh.measure(rules, load)
    assert response.qps * response.p200 == pytest.approx(rates[0, :, 5].max())
    assert found.score == found.highest == 1


def test_too_many_rules_are_drawn(shop, simulator, monkeypatch):
    monkeypatch.setattr(search, "MAX_PREDICTIONS", 30)
    first, again, other = (best_rules(simulator, shop, LOADS, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first[1].tried, first[1].total) == (10, 108)
    assert first[1].median != other[1].median
    assert list(first[0].to_dict().values()) in shop.rule_grid().tolist()


def test_the_worst_load_has_most_503s_a_second(shop, simulator):
    rules = TrafficRules(*shop.rule_grid()[17])
    advice = recommend(simulator, shop, rules)
    with SimulatedMesh(simulator) as mesh:
        answers = {load: mesh.measure(rules, load) for load in all_loads(shop)}
    worst = max(answers, key=lambda load: answers[load].qps * answers[load].p503)
    (expected,) = advice.expected
    assert (advice.rules, advice.search, advice.loads, expected.load) == (rules, None, 12, worst)
    assert expected.harm == pytest.approx(answers[worst].qps * answers[worst].p503)
    assert expected.qps is not None


def test_given_loads_are_all_kept_once_the_worst_first(shop, simulator):
    advice = recommend(simulator, shop, None, [*LOADS, LOADS[0]])
    assert {expected.load for expected in advice.expected} == set(LOADS)
    assert len(advice.expected) == advice.loads == 3
    harms = [expected.harm for expected in advice.expected]
    assert harms == sorted(harms, reverse=True)
    assert advice.rules == best_rules(simulator, shop, LOADS)[0]


def test_intervals_are_the_simulators_and_stay_possible(shop, simulator):
    rules = TrafficRules(*shop.rule_grid()[0])
    settings = [[*shop.rule_grid()[0], load.threads, load.calls] for load in LOADS]
    said, intervals = simulator.predict(settings), simulator.intervals(settings)
    for i, expected in enumerate(expect(simulator, rules, LOADS)):
        low, high = intervals["qps"][i]
        assert expected.qps.low == pytest.approx(min(low, said.qps[i]))
        assert expected.qps.high == pytest.approx(max(high, said.qps[i]))
        assert expected.p503.estimate == pytest.approx(said.p503[i])
        assert 0 <= expected.p503.low <= expected.p503.estimate <= expected.p503.high <= 1


def test_what_lies_outside_the_traces_gets_no_number(shop, simulator):
    inside, outside = expect(simulator, TrafficRules(*shop.rule_grid()[0]), [Load(4, 60), Load(5, 60)])
    assert inside.qps is not None
    assert (outside.qps, outside.p503, outside.harm) == (None, None, -1)


def test_an_unknown_criterion_is_refused(shop, simulator):
    with pytest.raises(UnknownNameError, match="criterion"):
        best_rules(simulator, shop, LOADS, criterion="median")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("threads=4", InvalidValueError, "Missing: calls"),
        ("threads=4,calls=many", InvalidValueError, "calls is 'many'"),
        ("threads=4,calls=7", InvalidValueError, "calls is 7"),
        ("threads=1.5,calls=7", InvalidValueError, "threads is 1.5"),
        ("4x40", UnknownNameError, "name is '4x40'"),
    ],
)
def test_a_load_that_is_none(text, error, message):
    with pytest.raises(error, match=message):
        read_load(text)


def test_rules_that_the_scenario_fixes_may_be_left_out(shop):
    text = "max_connections=2, http1_max_pending_requests=9,max_ejection_percent=30,interval_s=0.5"
    assert traffic_rules(read_rules(Request(text), shop).policy, RULE_NAMES) == TrafficRules(9, 2, 2, 180, 30, 0.5, 1)
    with pytest.raises(InvalidValueError, match="Missing: interval_s"):
        read_rules(Request(text.rpartition(",")[0]), shop)


def test_rules_from_a_manifest(shop, tmp_path):
    rule = DestinationRule.of("shop", "market", "shop.market.svc", TrafficRules(*shop.rule_grid()[3]))
    path = tmp_path / "rule.yaml"
    path.write_text(rule.to_yaml())
    assert read_rules(Request(str(path)), shop).chosen.rule == rule
    path.write_bytes(b"\xff")
    for missing in (path, tmp_path / "none.yaml"):
        with pytest.raises(FileError, match="Give a DestinationRule"):
            read_rules(Request(str(missing)), shop)


def test_names_as_given_else_as_in_the_manifest_else_of_the_sample(shop):
    rule = DestinationRule.of("shop", "market", "shop.market.svc", TrafficRules(*shop.rule_grid()[3]))
    given = Given({}, Chosen(rule))
    assert read_names(Request(), None)["host"] == "httpbin.default.svc.cluster.local"
    assert read_names(Request(name="pay", namespace="bank"), Given({}))["host"] == "pay.bank.svc.cluster.local"
    assert read_names(Request(), given) == {"name": "shop", "namespace": "market", "host": "shop.market.svc"}
    assert read_names(Request(name="pay"), given)["name"] == "pay"
    nameless = Given({}, Chosen(DestinationRule("", "market", {"host": "*.shop.com"})))
    assert read_names(Request(), nameless)["name"] == "shop"
    with pytest.raises(InvalidValueError, match=r"metadata\.namespace"):
        read_names(Request(namespace="a b"), None)


def test_the_fortio_command_sends_the_load_at_full_speed():
    assert fortio(Load(4, 60), "http://shop:80/?a=1&b=2") == (
        "fortio load -c 4 -n 60 -qps 0 -loglevel Warning 'http://shop:80/?a=1&b=2'"
    )


@pytest.fixture
def report(shop, simulator):
    advice = recommend(simulator, shop, None, LOADS)
    rule = DestinationRule.of("shop", "market", "shop.market.svc", advice.rules)
    return Report(advice, rule, "http://shop:8000/get", "shop", simulator.identity)


def test_every_load_is_measured_in_turns(report):
    with FakeMesh() as mesh:
        report.measure(mesh, report.advice.rules, repeats=2)
    loads = [expected.load for expected in report.advice.expected]
    assert mesh.measured == [(report.advice.rules, load) for load in [*loads, *loads]]
    with pytest.raises(InvalidValueError, match="repeats is 0"):
        Request(repeats=0)


@pytest.mark.parametrize(("qps", "inside"), [(9.9, False), (10, True), (15, True), (20, True), (20.1, False)])
def test_whether_a_run_was_as_expected(qps, inside):
    expected = Expected(Load(1, 2), Interval(15, 10, 20), Interval(0.2, 0.1, 0.3))
    run = Run(expected, Response(qps=qps, p200=0.5, p503=0.5))
    assert run.inside("qps") is inside
    assert not run.inside("p503")


def test_what_is_written(report, tmp_path):
    with FakeMesh() as mesh:
        report.measure(mesh, report.advice.rules, repeats=2)
    paths = report.write(tmp_path)
    assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()}
    assert DestinationRule.from_yaml((tmp_path / "destination-rule.yaml").read_text()) == report.destination_rule
    found = json.loads((tmp_path / "recommendation.json").read_text())
    assert found["rules"] == report.advice.rules.to_dict()
    assert [load["load"] for load in found["loads"]] == [expected.load.to_dict() for expected in report.advice.expected]
    assert all(len(load["measured"]) == 2 for load in found["loads"])
    with pytest.raises(FolderError, match="choose another folder"):
        report.write(tmp_path / "recommendation.json")


def test_the_text_says_everything(report):
    text = to_markdown(report)
    for name in RULE_NAMES:
        assert name in text
    for expected in report.advice.expected:
        assert fortio(expected.load, report.url) in text
        assert f"{expected.p503.estimate:.3f} [{expected.p503.low:.3f}, {expected.p503.high:.3f}]" in text
    assert "all 108 combinations" in text
    assert "smallest share over the loads" in text
    assert "Measured" not in text
    assert "outside" not in text


def test_the_text_of_given_rules_outside_the_traces(shop, simulator):
    rules = TrafficRules(100, 1, 2, 180, 50, 0.2, 1)
    advice = recommend(simulator, shop, rules, [Load(2, 20)])
    rule = DestinationRule.of("shop", "market", "shop.market.svc", rules)
    text = to_markdown(Report(advice, rule, "http://shop:8000/get", "shop", simulator.identity))
    assert "The rules given" in text
    (row,) = [line.split() for line in text.splitlines() if line.startswith("| 2 ")]
    assert row == ["|", "2", "|", "20", "|", "-", "|", "-", "|", "-", "|"]
    assert "outside the traces" in text


@pytest.fixture
def folder(shop_text, simulator, tmp_path, monkeypatch):
    """A working folder with a scenario and its simulator."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text(shop_text)
    simulator.save(tmp_path / "shop.npz")
    return tmp_path


def test_the_command_writes_what_it_prints(folder, capsys, shop, simulator):
    assert main(["recommend", "shop.toml=shop.npz", "--name", "shop", "--namespace", "market"]) == 0
    written = folder / "recommendations" / "shop"
    assert capsys.readouterr().out.startswith((written / "recommendation.md").read_text())
    document = yaml.safe_load((written / "destination-rule.yaml").read_text())
    assert document["spec"]["host"] == "shop.market.svc.cluster.local"
    first = DestinationRule.from_yaml((written / "destination-rule.yaml").read_text())
    assert first.rules == recommend(simulator, shop).rules
    command = ["recommend", "shop.toml=shop.npz", "--rules", str(written / "destination-rule.yaml")]
    assert main([*command, "--out", "again", "--load", "threads=2,calls=30"]) == 0
    assert DestinationRule.from_yaml((folder / "again" / "destination-rule.yaml").read_text()) == first
    assert "fortio load -c 2 -n 30" in (folder / "again" / "recommendation.md").read_text()


def test_a_question_outside_the_traces_is_answered_by_how_to_measure_it(folder, capsys):
    rule = DestinationRule.of(
        "shop", "market", "shop.market.svc", TrafficRules(max_connections=2, http2_max_requests=3)
    )
    (folder / "my rule.yaml").write_text(rule.to_yaml())
    command = ["recommend", "shop.toml=shop.npz", "--rules", "my rule.yaml", "--load", "threads=2,calls=30"]
    assert main(command) == 3
    said = capsys.readouterr().err
    assert "http2_max_requests is 3, and the traces have no limit" in said
    assert "The nearest rules that were: http1_max_pending_requests 4, max_connections 2" in said
    assert "recommend shop.toml=shop.npz --rules 'my rule.yaml' --load=threads=2,calls=30 --measure" in said
    found = json.loads((folder / "recommendations" / "shop" / "recommendation.json").read_text())
    assert [(load["qps"], load["p503"]) for load in found["loads"]] == [(None, None)]
    assert "-: outside the traces" in (folder / "recommendations" / "shop" / "recommendation.md").read_text()


def test_a_load_outside_the_traces_is_named_and_no_rule(folder, capsys):
    assert main(["recommend", "shop.toml=shop.npz", "--load", "threads=9,calls=60"]) == 3
    said = capsys.readouterr().err
    assert "not measured: threads is 9, and the traces have 1..4. The nearest" in said


@pytest.mark.envoy
def test_what_lies_outside_the_traces_is_measured(folder, capsys):
    rule = DestinationRule.of(
        "shop", "market", "shop.market.svc", TrafficRules(max_connections=2, http2_max_requests=1)
    )
    (folder / "rule.yaml").write_text(rule.to_yaml())
    command = ["recommend", "shop.toml=shop.npz", "--rules", "rule.yaml", "--load", "threads=4,calls=40"]
    assert main([*command, "--measure", "--repeats", "1"]) == 0
    found = json.loads((folder / "recommendations" / "shop" / "recommendation.json").read_text())
    (measured,) = found["loads"][0]["measured"]
    assert measured["overflow"] > 0  # one request at a time


class Tiring(FakeMesh):
    """Breaks down at its third run."""

    def measure(self, rules, load):
        if len(self.measured) == 2:
            raise LoadError("no answer for 10 s with 5 calls left; is the service up?")
        return super().measure(rules, load)


def test_what_was_measured_before_an_error_is_kept(folder, capsys, monkeypatch):
    monkeypatch.setattr("meshagents.cli.commands.open_mesh", lambda chosen, scenario: Tiring())
    assert main(["recommend", "shop.toml=shop.npz", "--measure", "--load", "threads=2,calls=30"]) == 1
    assert "is the service up?" in capsys.readouterr().err
    found = json.loads((folder / "recommendations" / "shop" / "recommendation.json").read_text())
    assert len(found["loads"][0]["measured"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["S9"], "scenario is 'S9'"),
        (["S1=none.npz"], "there is no simulator file none.npz"),
        (["S1", "--rules", "none.yaml"], "there is no rule file none.yaml"),
        (["S1", "--rules", "max_connections=3"], "Missing: http1_max_pending_requests"),
        (["S1", "--load", "threads=3"], "Missing: calls"),
        (["S1", "--name", "My rule"], "metadata.name is 'My rule'"),
        (["S1", "--criterion", "best"], "criterion is 'best'"),
        (["S1", "--out", "/dev/null/folder"], "cannot write to /dev/null/folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, folder, capsys):
    assert main(["recommend", *arguments]) in (1, 2)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("meshagents: error: ")]
    assert len(errors) == 1
    assert message in errors[0]

"""An adaptive plan and a prior on the command line."""

import pytest

from meshgym.cli.main import main
from meshgym.simulator import load_simulator
from meshgym.traces.store import load_traces


@pytest.fixture
def folder(tmp_path, shop_text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text(shop_text)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--goal", "rules"], "only with --plan adaptive"),
        (["--regret", "0.1"], "only with --plan adaptive"),
        (["--most-503", "0.5"], "--most-503 is 0.5; allowed: only with --plan adaptive"),
        (["--plan", "adaptive", "--most-rate", "0"], "Must be > 0"),
        (["--plan", "adaptive", "--rows", "30"], "--rows is 30; allowed: only for a random plan"),
        (["--plan", "adaptive", "--runs", "5001"], "runs is 5001; allowed: a whole number 1..2000"),
        (["--plan", "adaptive", "--goal", "map", "--regret", "0.1"], "a goal other than map"),
    ],
)
def test_options_that_contradict_are_named(options, message, folder, capsys):
    assert main(["collect", "--scenario", "shop.toml", *options]) in (1, 2)
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (folder / "collections" / "shop" / "collection.db").exists()


def test_what_a_plan_costs_is_said_before(folder, capsys):
    assert main(["plan", "shop.toml", "--runs", "40", "--lanes", "2"]) == 0
    header, *rows, advice = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["runs", "calls", "about"]
    assert [row.split()[0] for row in rows] == ["40", "5,000"]
    assert " s " in rows[0]
    assert "meshagents recommend --direct takes 10 to 20 runs" in advice
    (folder / "shop.toml").write_text((folder / "shop.toml").read_text().partition("[service]")[0])
    assert main(["plan", "shop.toml"]) == 0
    assert "nothing tells how fast the service responds" in capsys.readouterr().out


@pytest.mark.envoy
@pytest.mark.slow
def test_a_careful_collection_comes_from_the_gentle_side(folder):
    collect = ["collect", "--scenario", "shop.toml", "--plan", "adaptive", "--runs", "30", "--most-503", "0.5"]
    assert main([*collect, "--quiet"]) == 0
    traces = load_traces(folder / "collections" / "shop" / "collection.db").sort_values("run")
    assert traces["threads"].iloc[:20].max() <= 2


@pytest.mark.envoy
@pytest.mark.slow
def test_an_adaptive_collection_becomes_a_simulator(folder, capsys):
    collect = ["collect", "--scenario", "shop.toml", "--lanes", "4", "--quiet"]
    assert main([*collect, "--plan", "adaptive", "--runs", "44"]) == 0
    assert "by these 44 runs, the goal's regret is at most 0." in capsys.readouterr().out
    path = folder / "collections" / "shop" / "collection.db"
    assert sorted(load_traces(path)["asked"])[-4:] == [0, 1, 1, 1]
    fit = ["fit", "--scenario", "shop.toml", "--traces", str(path), "--quiet"]
    assert main([*fit, "--out", "one.npz"]) == 0
    assert "by mean squared error in cross-validation:" in capsys.readouterr().out
    assert main([*fit, "--out", "two.npz", "--prior", "one.npz"]) == 0
    said = capsys.readouterr()
    assert ("the prior helps" in said.err) != ("the prior hurts" in said.err)
    about = load_simulator("two.npz").identity.prior
    assert about["sha256"] == load_simulator("one.npz").sha256
    assert about["used"] == (about["error"] < about["error_without"])

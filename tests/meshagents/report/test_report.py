"""The page stands alone, says what it shows, and lets no text pass for markup."""

import hashlib
import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from meshes import FakeMesh

from meshagents import AgentError, Hyperparameters
from meshagents.cli import commands
from meshagents.cli.main import main
from meshagents.report.page import write_report
from meshagents.report.provenance import describe
from meshagents.report.write import write_validation
from meshagents.training.configurations import load_configuration
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import evaluate_trained, load_trained, save_trained
from meshagents.validation.gap import tables
from meshagents.validation.measure import Validation
from meshagents.validation.validate import Validator
from meshgym.errors import FileError, InvalidValueError
from meshgym.files import signed

TINY = Hyperparameters(epochs=3, interactions=40, num_envs=20, batch_size=16, replay_size=100, width=8)
PAIR = load_configuration("Thread-Call")


@pytest.fixture(scope="module")
def folder(shop, simulator, tmp_path_factory):
    """An agent and its validation, as commands leave them."""
    folder = tmp_path_factory.mktemp("validation")
    trained = train_agent(PAIR, [Task(shop, simulator)], TINY, 0)
    save_trained(folder / "agent.npz", trained)
    measuring = Validation(contexts=15, repeats=2)
    validator = Validator(folder / "measured", measuring, lambda scenario: FakeMesh())
    found = validator.validate_agent(trained, evaluate_trained(trained))
    sentences = write_validation(folder, describe(trained), measuring, found, tables(found))
    assert [sentence.split(":")[0] for sentence in sentences] == ["shop, qps", "shop, p503"]
    return folder


def test_the_page_stands_alone(folder, simulator):
    page = write_report(folder)
    assert page == folder / "report.html"
    html = page.read_text()
    assert html.startswith("<!doctype html>")
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "<script" not in html
    assert "url(" not in html


def test_the_page_says_what_was_found_and_where_it_comes_from(folder, simulator):
    html = write_report(folder).read_text()
    for text in ("Training on the simulator", "On the real mesh", "Simulated and measured", "Where it comes from"):
        assert html.count(f"<h2>{text}") >= 1
    about = json.loads((folder / "validation.json").read_text())
    assert about["agent"] == load_trained(folder / "agent.npz").sha256
    for text in (*about["gaps"], simulator.sha256[:16], "best fixed action", "oracle", "learning_rate", "repeats"):
        assert text in html.replace("&#39;", "'")
    assert "times as many 503s per second" in html


def test_the_page_of_an_agent_lies_beside_its_file(folder):
    page = write_report(folder / "agent.npz")
    assert page == folder / "agent.html"
    assert "Training on the simulator" in page.read_text()
    assert "On the real mesh" not in page.read_text()


def test_the_page_of_an_agent_needs_its_file_alone(folder, tmp_path):
    agent = tmp_path / "agents" / "alone.npz"
    agent.parent.mkdir()
    agent.write_bytes((folder / "agent.npz").read_bytes())
    assert write_report(agent).read_text() == write_report(folder / "agent.npz").read_text()
    assert write_report(agent.parent).read_text() == write_report(agent).read_text()


def test_text_is_no_markup(folder, tmp_path):
    about = (folder / "validation.json").read_text().replace("shop", "<script>alert(1)</script>")
    for table in folder.glob("*.csv"):
        content = table.read_bytes()
        changed = content.replace(b"shop", b"<script>alert(1)</script>")
        (tmp_path / table.name).write_bytes(changed)
        about = about.replace(hashlib.sha256(content).hexdigest(), hashlib.sha256(changed).hexdigest())
    unsigned = {name: value for name, value in json.loads(about).items() if name != "checksum"}
    (tmp_path / "validation.json").write_text(json.dumps(signed(unsigned)))
    html = write_report(tmp_path).read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_another_reward_is_named_and_maximized_by_all(shop, simulator, tmp_path):
    trained = train_agent(PAIR, [Task(shop, simulator)], TINY, 0, reward="best_case")
    validator = Validator(tmp_path / "measured", Validation(12, 1), lambda scenario: FakeMesh())
    (found,) = validator.validate_agent(trained, evaluate_trained(trained))
    replayed = found.replayed
    for side in ("sim", "live"):
        expected = replayed[f"qps_{side}"] * replayed[f"p200_{side}"]
        assert replayed[f"reward_{side}"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-4)
    best = replayed.groupby("context")["reward_sim"].max().to_numpy()
    assert replayed[replayed["policy"] == "oracle"]["reward_sim"].to_numpy() == pytest.approx(best, rel=1e-5)
    write_validation(tmp_path, describe(trained), Validation(12, 1), [found], tables([found]))
    assert "times as many 200s per second" in write_report(tmp_path).read_text()


@pytest.mark.parametrize("content", [None, "{}", '["kind"]'])
def test_nothing_to_report_is_said(tmp_path, content):
    if content:
        (tmp_path / "other.json").write_text(content)
    with pytest.raises(InvalidValueError, match="meshagents train"):
        write_report(tmp_path)


@pytest.mark.parametrize("content", ["{", '{"kind": "run"}', '{"kind": "validation"}'])
def test_damaged_folders_are_named(tmp_path, content):
    (tmp_path / "agent.json").write_text(content)
    with pytest.raises(FileError, match=str(tmp_path)):
        write_report(tmp_path)


def test_missing_files_are_named(folder, tmp_path):
    (tmp_path / "validation.json").write_text((folder / "validation.json").read_text())
    with pytest.raises(FileError, match=r"ratios\.csv"):
        write_report(tmp_path)


def test_an_agent_of_version_01_is_refused_until_it_is_trained_again(folder, tmp_path):
    (tmp_path / "agent.json").write_text('{"kind": "run", "services": []}')
    with pytest.raises(FileError, match=r"version 0\.1.*Write it again with .* meshagents train"):
        write_report(tmp_path)
    (tmp_path / "agent.npz").write_bytes((folder / "agent.npz").read_bytes())
    assert "Training on the simulator" in write_report(tmp_path).read_text()


def test_tables_of_another_result_are_refused(folder, tmp_path):
    """A report over half-written results would show the figure of one beside the sentences of another."""
    for file in (*folder.glob("*.csv"), folder / "validation.json"):
        (tmp_path / file.name).write_text(file.read_text())
    write_report(tmp_path)
    gaps = pd.read_csv(tmp_path / "gaps.csv").rename(columns={"multiple": "factor"})
    gaps.to_csv(tmp_path / "gaps.csv", index=False)
    with pytest.raises(FileError, match=r"gaps\.csv is of another result, or was edited.*Write it again"):
        write_report(tmp_path)


@pytest.mark.envoy
def test_from_training_to_a_page_with_the_real_envoy(simulator, shop_text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text(shop_text)
    service = f"shop.toml={simulator.save(tmp_path / 'simulator.npz')}"
    assert main(["train", service, "--configuration", "Call", "--epochs", "1"]) == 0
    capsys.readouterr()
    command = ["validate", "agents/agent.npz", "--contexts", "3", "--repeats", "2"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "shop: mean reward" in shown
    assert "shop, p503: " in shown
    collections = {path: path.read_bytes() for path in tmp_path.glob("validation/measured/shop/*/collection.db")}
    assert len(collections) == 1
    assert main(command) == 0  # nothing is left to measure
    assert all(path.read_bytes() == content for path, content in collections.items())
    assert capsys.readouterr().out == shown
    assert main(["report", "validation"]) == 0
    assert "envoy 1." in (tmp_path / "validation" / "report.html").read_text()


def test_without_measurements_the_command_says_why(monkeypatch, tmp_path, capsys, simulator, shop_text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text(shop_text)
    service = f"shop.toml={simulator.save(tmp_path / 'simulator.npz')}"
    monkeypatch.setattr(commands, "live_mesh", lambda chosen: lambda scenario: FakeMesh())
    assert main(["train", service, "--epochs", "1"]) == 0
    with pytest.raises(AgentError, match="was not trained as Call"):
        replace(load_trained("agents/agent.npz"), configuration=load_configuration("Call"))
    assert main(["validate", "agents/agent.npz", "--configuration", "Call"]) == 2
    assert main(["validate", "agents/agent.npz", "--contexts", "1"]) == 2
    errors = capsys.readouterr().err
    assert "Unknown option: --configuration" in errors
    assert 'Invalid value "1" for --contexts. Must be >= 2.' in errors

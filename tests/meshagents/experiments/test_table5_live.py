"""Table 5's Val columns: shared contexts, any subset, killed and gone on with; and the page that shows them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from collected import rows_of
from meshes import FakeMesh

import meshagents
from meshagents import Hyperparameters
from meshagents.cli import commands
from meshagents.cli.main import main
from meshagents.experiments import table5, table5_live
from meshagents.experiments.jobs import DECISIONS, label
from meshagents.experiments.table5 import PAPER, Table5
from meshagents.report.text import table5_text
from meshagents.statistics import Interval
from meshagents.validation.measure import Validation
from meshagents.validation.validate import Validator, summary
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.traces.collection import FILENAME
from meshgym.types import RULE_NAMES, SETTING_NAMES

TINY = Hyperparameters(epochs=2, interactions=40, num_envs=20, batch_size=16, replay_size=100, width=8)
FEW = Validation(contexts=6, repeats=2)


@pytest.fixture(scope="module")
def experiment(services):
    return Table5(services, seeds=2, hyperparameters=TINY)


@pytest.fixture(scope="module")
def trained(experiment, tmp_path_factory):
    """The folder of the trainings, and their records."""
    folder = tmp_path_factory.mktemp("trainings")
    return folder, table5.run(experiment, folder, n_jobs=1)


@pytest.fixture(scope="module")
def measured(experiment, trained, tmp_path_factory):
    validator = Validator(tmp_path_factory.mktemp("measured"), FEW, lambda scenario: FakeMesh())
    return table5_live.run(experiment, trained[1], validator)


def test_the_papers_figures_are_those_of_its_table():
    assert len(PAPER) == 10
    assert {len(values) for both in PAPER.values() for values in both} == {5}


def test_all_cells_of_a_scenario_meet_the_same_contexts(measured):
    assert [one.scenario for one in measured] == ["shop", "twin"]
    labels = {
        f"{name}{end}" for name in ("Call", "Thread", "Thread&Call", "Thread-Call", "Call-Thread") for end in ("", "*2")
    }
    fixed = {f"best fixed {control}" for control in ("calls", "threads", "both")}
    for one in measured:
        assert set(one.replayed["policy"]) == labels | fixed | {"random"}
        by_context = one.replayed.groupby("context")
        assert (by_context[list(RULE_NAMES)].nunique() == 1).all().all()
        assert not one.runs.duplicated([*SETTING_NAMES, "repeat"]).any()
        random = one.replayed[one.replayed["policy"] == "random"].set_index("context")
        call = one.replayed[one.replayed["policy"] == "Call"].set_index("context")
        pd.testing.assert_series_equal(random["threads"], call["threads"])


def test_seeds_decide_in_turn(measured, trained):
    records = trained[1]
    chosen = measured[0].replayed[measured[0].replayed["policy"] == "Thread-Call"]
    ours = records[(records["configuration"] == "Thread-Call") & (records["services"] == 1)]
    ours = ours[ours["scenario"] == "shop"]
    for context, (_, run) in enumerate(chosen.iterrows()):
        expected = ours["decisions"].iloc[context % 2][context]
        np.testing.assert_allclose(run[list(SETTING_NAMES)].to_numpy(float), expected)


def test_val_stands_beside_sim(measured, trained):
    found = table5.tables(trained[1], measured)
    for cell in found["table5"].itertuples():
        (one,) = (one for one in measured if one.scenario == cell.scenario)
        expected = summary(one.replayed).loc[label(cell.configuration, cell.services), "live_ratio"]
        assert Interval(cell.val, cell.val_low, cell.val_high) == expected
    text = table5_text(found)
    assert "Val:" in text
    cell = table5.score(trained[1], measured).iloc[0]
    assert f"| {cell['val']}; {cell['val_sim'].estimate:.2f} " in text
    assert {"val", "val_low", "val_high", "paper_val"} <= set(found["table5"])
    assert "Val:" not in table5_text(table5.tables(trained[1]))


def test_policies_have_kinds(measured):
    kinds = measured[0].replayed.groupby("kind")["policy"].unique().map(set)
    assert kinds["random"] == {"random"}
    assert kinds["best fixed action"] == {f"best fixed {control}" for control in ("calls", "threads", "both")}
    assert kinds["agent"] >= {"Call", "Thread-Call*2"}


def test_any_subset(services, trained, tmp_path):
    some = Table5(services, seeds=2, hyperparameters=TINY, rows=("Call", "Call*2"), columns=("twin",))
    frame = table5.run(some, trained[0], n_jobs=1)
    assert set(zip(frame["configuration"], frame["services"], frame["scenario"], strict=True)) == {
        ("Call", 1, "twin"),
        ("Call", 2, "twin"),
    }
    (one,) = table5_live.run(some, frame, Validator(tmp_path, FEW, lambda scenario: FakeMesh()))
    assert set(one.replayed["policy"]) == {"random", "best fixed calls", "Call", "Call*2"}
    assert [path.name for path in tmp_path.iterdir()] == ["twin"]


@pytest.mark.parametrize(("name", "value"), [("rows", "Call*5"), ("columns", "S1")])
def test_cells_that_are_not_there_are_refused(services, name, value):
    with pytest.raises(UnknownNameError, match=value.replace("*", r"\*")):
        Table5(services, hyperparameters=TINY, **{name: (value,)})


def test_more_contexts_than_decisions_are_refused(experiment, trained, tmp_path):
    with pytest.raises(InvalidValueError, match="contexts"):
        table5_live.run(
            experiment, trained[1], Validator(tmp_path, Validation(DECISIONS + 1), lambda scenario: FakeMesh())
        )


COMMAND = """
import sys
from meshagents import Hyperparameters
from meshagents.cli import commands
from meshagents.cli.main import main
from meshes import SlowMesh

if __name__ == "__main__":
    commands.live_mesh = lambda chosen: lambda scenario: SlowMesh()
    raise SystemExit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_in_the_middle_the_command_ends_as_if_undisturbed(services, tmp_path, monkeypatch, capsys):
    (tmp_path / "command.py").write_text(COMMAND)
    monkeypatch.setattr(commands, "live_mesh", lambda chosen: lambda scenario: FakeMesh())
    names = [f"{service.scenario}={service.simulator}" for service in services]
    options = ["--validate", "--contexts", "5", "--repeats", "2", "--epochs", "1", "--seeds", "1", "--jobs", "1"]
    cells = ["--configurations", "Call", "Thread-Call*2", "--scenarios", "shop", "twin"]
    arguments = ["table5", *names, *options, *cells, "--out"]
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    paths = [Path(__file__).parents[2], Path(meshagents.__file__).parents[1]]
    environment = {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    process = subprocess.Popen([sys.executable, tmp_path / "command.py", *arguments, str(cut)], env=environment)
    while len(rows := rows_of(cut / "measured" / "shop" / "001")) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    monkeypatch.setattr(commands, "live_mesh", lambda chosen: lambda scenario: _as_slow())
    for folder in (cut, whole):
        assert main([*arguments, str(folder)]) == 0
    assert rows_of(cut / "measured" / "shop" / "001")[: len(rows)] == rows  # nothing lost
    for scenario in ("shop", "twin"):
        counts = [
            sum(len(rows_of(path.parent)) for path in folder.glob(f"measured/{scenario}/*/{FILENAME}"))
            for folder in (cut, whole)
        ]
        assert counts[0] == counts[1]  # nothing twice
    for name in ("validation.csv", "ratios.csv", "gaps.csv", "table5.csv", "table5.md"):
        if name == "table5.md":  # it names the processor seconds of the training
            strip = lambda path: [line for line in path.read_text().splitlines() if "processor" not in line]  # noqa: E731
            assert strip(cut / name) == strip(whole / name)
        else:
            assert (cut / name).read_text() == (whole / name).read_text()
    page = main(["report", str(cut)])
    assert page == 0
    html = (cut / "report.html").read_text()
    assert "On the real mesh" in html
    assert html.count("<figure>") == html.count("data:image/svg+xml;base64,") >= 5
    capsys.readouterr()


def _as_slow():
    """The same mesh as the killed command's, without its pauses."""
    mesh = FakeMesh()
    mesh.about = lambda: {"mesh": "SlowMesh"}
    return mesh

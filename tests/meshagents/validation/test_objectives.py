"""Objectives among what is validated: how often decisions keep them, measured and expected."""

import numpy as np
import pandas as pd
import pytest

from meshagents.cli.helpers import judge_objectives
from meshagents.report.text import objectives_table
from meshagents.validation.gap import tables
from meshagents.validation.validate import Validated, compare
from meshgym.errors import SloError
from meshgym.slo.objective import read_slo
from meshgym.types import SETTING_NAMES


@pytest.fixture
def found(shop, simulator):
    """Two decisions, twice each; the runs of the second have more 503s."""
    rows = np.column_stack([shop.rule_grid()[:2], [1, 2], [20, 20]])
    settings = pd.DataFrame(rows, columns=list(SETTING_NAMES))
    runs = pd.concat([settings.assign(qps=50.0, p503=[0.0, share]) for share in (0.3, 0.05)], ignore_index=True)
    runs = runs.assign(p200=1 - runs["p503"], repeat=[0, 0, 1, 1], latency_p99_s=[0.01, 0.01, 0.01, np.nan])
    decisions = {"random": rows, "agent": rows[:1]}
    replayed = pd.concat(
        [
            compare({name: chosen}, simulator, runs).assign(policy=name, context=range(len(chosen)))
            for name, chosen in decisions.items()
        ]
    )
    return Validated("shop", simulator, runs, replayed, 0)


def test_runs_are_counted_by_who_decided(found):
    table = tables([found], objectives=read_slo(["success>90%"]))["objectives"]
    by_policy = table.set_index("policy")
    assert by_policy.loc["random", ["runs", "kept"]].tolist() == [4, 3]
    assert by_policy.loc["agent", ["runs", "kept"]].tolist() == [2, 2]
    assert by_policy.loc["random", "share"] == 0.75
    p200 = found.simulator.predict(found.replayed[list(SETTING_NAMES)].to_numpy()[:2]).p200
    assert by_policy.loc["random", "expected"] == np.mean(np.array(p200) >= 0.9)
    assert objectives_table(table)["runs that kept them"].tolist() == ["3 of 4", "2 of 2"]


def test_a_run_that_does_not_tell_does_not_keep(found):
    table = tables([found], objectives=read_slo(["p99<20ms"]))["objectives"].set_index("policy")
    assert table.loc["random", "kept"] == 3
    assert table.loc["random", "expected"] == 0  # this simulator predicts no latencies


def test_without_objectives_there_is_no_such_table(found):
    assert "objectives" not in tables([found])


def test_who_does_not_keep_them_fails(found, capsys):
    kept, broken = (tables([found], objectives=read_slo([text]))["objectives"] for text in ("p503<1%", "p503>20%"))
    judge_objectives(kept, ["p503<1%"])
    assert "shop: how often p503<1% is kept" in capsys.readouterr().out
    with pytest.raises(SloError, match="don't keep p503>20% in 90% of the runs of shop"):
        judge_objectives(broken, ["p503>20%"])

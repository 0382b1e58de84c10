"""Table 4 on synthetic traces: its rows, its files, its refusals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meshgym.errors import FolderError, UnknownNameError
from meshgym.scenarios import load_scenario
from meshgym.simulator.table4 import FLOOR, ORDERED, OURS, Table4, run, save, summary, to_markdown
from meshgym.traces.store import check_traces

pytestmark = pytest.mark.slow


def synthetic_traces(name: str, rows: int) -> pd.DataFrame:
    """Linear in threads, with noise; each setting is run twice."""
    generator = np.random.default_rng(0)
    ranges = load_scenario(name).ranges
    frame = pd.DataFrame({column: generator.choice(span.values, rows) for column, span in ranges.items()})
    frame = pd.concat([frame, frame], ignore_index=True)
    frame["p503"] = (0.04 * frame["threads"] + generator.normal(0, 0.02, 2 * rows)).clip(0, 1)
    frame["p200"] = 1 - frame["p503"]
    frame["qps"] = 50 * frame["threads"] + generator.normal(0, 10, 2 * rows)
    return check_traces(frame, "synthetic")


@pytest.fixture(scope="module")
def table(quick_recipe: Callable[[], AbstractContextManager[None]]) -> Table4:
    traces = {"S1": synthetic_traces("S1", 60), "S2": synthetic_traces("S2", 60)}
    with quick_recipe():
        return run(traces, models=(OURS, "ridge", "mean"), seeds=(0, 1), splits=("settings", "blocks"), jobs=1)


def test_every_fit_is_a_row(table: Table4) -> None:
    fits = table.scores[table.scores["model"] != FLOOR]
    assert set(fits["model"]) == {OURS, ORDERED, "ridge", "mean"}
    assert len(fits) == 2 * 2 * 4 * 2
    assert not fits.duplicated(["set", "split", "model", "seed"]).any()
    assert set(table.tests) == {"S1", "S2"}
    np.testing.assert_allclose(fits["mse"], (fits["mse_qps"] + fits["mse_p503"]) / 2)


def test_models_stand_in_their_order(table: Table4) -> None:
    mse = table.scores.groupby(["split", "model"])["mse"].mean()
    for way in ("settings", "blocks"):
        assert mse[way, "ridge"] < 0.5 * mse[way, "mean"]
        assert mse[way, OURS] < 0.5 * mse[way, "mean"]
        assert mse[way, FLOOR] < mse[way, "mean"]
        assert mse[way, ORDERED] == pytest.approx(mse[way, OURS], rel=0.35)  # nothing in the order of these runs
    assert mse["settings", "mean"] == pytest.approx(1, abs=0.4)


def test_the_summary_has_intervals_and_the_papers_values(table: Table4) -> None:
    rows = summary(table.scores).set_index(["split", "set", "model"])
    ridge = rows.loc[("settings", "S1", "ridge")]
    scores = table.scores.query("split == 'settings' and set == 'S1' and model == 'ridge'")["mse"]
    assert ridge["mse"] == pytest.approx(scores.mean())
    # t(0.975, one degree of freedom) = 12.706
    assert ridge["interval"] == pytest.approx(12.7062 * scores.std() / 2**0.5, rel=1e-4)
    assert ridge["paper"] == 0.85
    assert np.isnan(rows.loc[("settings", "S1", "mean"), "paper"])


def test_files(table: Table4, tmp_path: Path) -> None:
    written = save(table, tmp_path / "out")
    assert [path.name for path in written[:2]] == ["table4.csv", "table4.md"]
    assert len(written) == 2 + 2 * 2
    assert all(path.stat().st_size for path in written)
    again = pd.read_csv(written[0])
    pd.testing.assert_frame_equal(again, table.scores, check_exact=False)
    text = written[1].read_text()
    assert "| model | S1 | S2 |" in text
    assert f"| {OURS} | " in text
    assert "(0.85) | " in text


def test_without_repeats_there_is_no_floor() -> None:
    once = synthetic_traces("S1", 60).drop_duplicates("calls", ignore_index=True)
    assert "no repeats" in to_markdown(run({"S1": once}, models=("mean",), seeds=(0,), jobs=1).scores)


def test_progress_counts_the_fits() -> None:
    calls: list[tuple[int, int]] = []
    run({"S1": synthetic_traces("S1", 60)}, models=("mean", "ridge"), jobs=1, progress=lambda *step: calls.append(step))
    assert calls == [(number, 6) for number in range(1, 7)]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="ridge"):
        run({}, models=("rigde",))
    with pytest.raises(UnknownNameError, match="blocks"):
        run({}, splits=("block",))


def test_a_folder_that_cannot_be_written(table: Table4, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="cannot write"):
        save(table, tmp_path / "file" / "out")

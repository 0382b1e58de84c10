"""Coverage counts runs of the test part inside their intervals, and those at loads that get chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import pandas as pd
import pytest

from meshgym.errors import SimulatorError
from meshgym.scenarios import load_scenario
from meshgym.simulator import Simulator
from meshgym.simulator.coverage import coverage, to_text
from meshgym.simulator.training import fit_simulator
from meshgym.traces.store import check_traces

pytestmark = pytest.mark.slow


def made_up(rows: int, seed: int) -> pd.DataFrame:
    """More threads, more 503s; and the noise grows with them."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {name: generator.choice(span.values, rows) for name, span in load_scenario("S2").ranges.items()}
    )
    frame["p503"] = (0.1 * frame["threads"] + generator.normal(0, 0.01 * frame["threads"])).clip(0, 1)
    frame["p200"] = 1 - frame["p503"]
    frame["qps"] = 100 * frame["threads"] + generator.normal(0, 10, rows)
    return check_traces(frame, "made up")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return made_up(3000, 0)


@pytest.fixture(scope="module")
def simulator(frame: pd.DataFrame, quick_recipe: Callable[[], AbstractContextManager[None]]) -> Iterator[Simulator]:
    with quick_recipe():
        yield fit_simulator(frame, load_scenario("S2"), seed=1)


def test_it_counts_the_test_part(frame: pd.DataFrame, simulator: Simulator) -> None:
    found = coverage(frame, simulator, load_scenario("S2")).set_index("outcome")
    assert list(found.index) == ["qps", "p503"]
    assert set(found["runs"]) == {600}
    assert found["chosen_runs"].between(60, 90).all()
    assert found["overall"].between(0.85, 0.95).all()
    assert found["chosen"].between(0.75, 1).all()  # where the noise is larger than elsewhere
    for name in found.index:
        assert found.loc[name, "overall"] == pytest.approx(simulator.identity.metrics[f"coverage_90_{name}"])
    text = to_text({"S2": found.reset_index()})
    assert text.splitlines()[1].split()[:2] == ["S2", "qps"]


def test_other_traces_are_refused(simulator: Simulator) -> None:
    with pytest.raises(SimulatorError, match="other traces"):
        coverage(made_up(3000, 5), simulator, load_scenario("S2"))

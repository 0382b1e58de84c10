"""Other libraries train on the environments as they are, and their agents stand in Table 5 and are measured."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

PEERS = Path(__file__).parents[2] / "examples" / "peers"
#: Library and steps of each example; those that install quickly, and the others.
QUICK = {
    "cleanrl_loop": ("torch", 60),
    "sb3_dqn": ("stable_baselines3", 1500),
    "qrdqn": ("sb3_contrib", 1500),
    "supersuit_ppo": ("supersuit", 2000),
}
OTHERS = {
    "agilerl_dqn": ("agilerl", 100),
    "benchmarl_ippo": ("benchmarl", 1),
    "minari_trees": ("minari", 1000),
    "rllib_ppo": ("ray.rllib", 1),
    "skrl_dqn": ("skrl", 100),
    "tianshou_dqn": ("tianshou", 1000),
    "torchrl_dqn": ("torchrl", 1000),
}


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import an example, which imports another one beside it."""
    monkeypatch.syspath_prepend(PEERS)
    yield importlib.import_module
    for name in ("judge", *QUICK, *OTHERS):
        sys.modules.pop(name, None)


def judged(peers: Any, name: str, steps: int, **options: Any) -> float:
    agent = peers(name).train(steps)
    return float(peers("judge").judge(agent, name, epochs=1, **options))


@pytest.mark.filterwarnings("ignore")  # other libraries' own
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=mark)
        for names, mark in ((QUICK, pytest.mark.slow), (OTHERS, pytest.mark.peers))
        for name in names
    ],
)
def test_a_library_trains_unchanged(
    name: str, peers: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some leave folders
    library, steps = {**QUICK, **OTHERS}[name]
    pytest.importorskip(library, reason=f"{library} is not installed")
    assert 0.3 < judged(peers, name, steps, contexts=0) <= 1
    assert f"| {name}" in capsys.readouterr().out


@pytest.mark.envoy
@pytest.mark.slow
def test_its_decisions_are_measured(peers: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(peers, "cleanrl_loop", 30, contexts=2, lanes=4) > 0.3
    assert "live_ratio" in capsys.readouterr().out


def test_they_are_short() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in PEERS.glob("*.py")}
    assert set(lengths) == {f"{name}.py" for name in ("judge", *QUICK, *OTHERS)}
    assert max(lengths.values()) <= 40

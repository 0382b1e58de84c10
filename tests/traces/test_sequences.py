"""Sets of sequences: planned, taken as wholes, resumed, packed, read."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from meshgym.errors import DisturbedError, MeshError, TraceError
from meshgym.mesh.sequences import control_of
from meshgym.scenarios import load_scenario
from meshgym.traces import sequences as module
from meshgym.traces.collection import read_given_up
from meshgym.traces.pack import pack, unpack
from meshgym.traces.sequences import collect_sequences, load_sequences, plan_sequences
from meshgym.types import Response

C1 = load_scenario("C1")
STEPS = C1.control.intervals


class FakeSequences:
    """Answers by the load and the interval; loses what it is told to lose."""

    taken: ClassVar[list[float]] = []
    lost: ClassVar[dict[int, int]] = {}
    killed_after: ClassVar[int | None] = None

    def __init__(self, scenario, copies):
        self.control, self.copies = control_of(scenario), copies

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def begin(self):
        self.interval = 0

    def measure_each(self, settings):
        cls = type(self)
        found = []
        for row in settings:
            if self.interval == 0:
                cls.taken.append(float(row[-2]))
                if cls.killed_after is not None and len(cls.taken) > cls.killed_after:
                    raise KeyboardInterrupt
            wrong = cls.lost.get(int(row[-2]), 0)
            if wrong and self.interval == 3:
                cls.lost[int(row[-2])] = wrong - 1
                found.append(DisturbedError("somebody slept"))
                continue
            calls = int(row[-1])
            counts = {"ok": calls, "overflow": 0, "no_healthy_host": 0, "upstream_error": 0, "other_error": 0}
            details = {**counts, "ejected": self.interval % 3, "connected": 2, "duration_s": calls / row[-2]}
            found.append(Response(qps=float(row[-2]), p200=1.0, p503=0.0, details=details))
        self.interval += 1
        return found


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(module, "EmbeddedSequences", FakeSequences)
    FakeSequences.taken, FakeSequences.lost, FakeSequences.killed_after = [], {}, None
    return FakeSequences


def test_a_plan_changes_rules_never_seldom_or_often():
    plan = plan_sequences(C1, 300, seed=1)
    assert plan.names == C1.setting_names
    settings = plan.settings.reshape(300, STEPS, -1)
    assert np.array_equal(plan.settings, plan_sequences(C1, 300, seed=1).settings)
    assert not np.array_equal(plan.settings, plan_sequences(C1, 300, seed=2).settings)
    changes = (np.diff(settings[..., :-2], axis=1) != 0).any(axis=-1).sum(axis=1)
    assert 80 < (changes == 0).sum() < 180
    assert changes.max() > 6
    rates, calls = settings[..., -2], settings[..., -1]
    assert np.isin(rates, C1.load["rate_per_s"].values).all()
    assert np.array_equal(calls, rates * C1.control.interval_s)
    for column, span in enumerate(C1.rules.values()):
        assert set(np.unique(settings[..., column])) == set(span.values)


def test_what_is_taken_can_be_read(fake, tmp_path):
    done = []
    path = collect_sequences(C1, tmp_path, 5, lanes=2, progress=lambda *at: done.append(at))
    assert done[0] == (0, 5)
    assert done[-1] == (5, 5)
    frame = load_sequences(path, C1)
    assert len(frame) == 5 * STEPS
    assert frame["ejected"].tolist() == [interval % 3 for _ in range(5) for interval in range(STEPS)]
    assert frame["interval"].tolist() == [*range(STEPS)] * 5
    packed = pack(tmp_path, tmp_path / "set.parquet")
    assert load_sequences(packed, C1).equals(frame)
    again = unpack(packed, tmp_path / "again")
    assert collect_sequences(C1, again, 5, lanes=2) == again / "collection.db"
    assert len(fake.taken) == 5  # nothing was taken twice


def test_a_killed_collection_goes_on_with_whole_episodes(fake, tmp_path):
    fake.killed_after = 5
    with pytest.raises(KeyboardInterrupt):
        collect_sequences(C1, tmp_path, 6, lanes=2)
    assert load_sequences(tmp_path / "collection.db", C1)["episode"].nunique() == 4
    fake.killed_after, fake.taken = None, []
    frame = load_sequences(collect_sequences(C1, tmp_path, 6, lanes=2), C1)
    assert len(fake.taken) == 2
    assert frame["episode"].nunique() == 6


def first_rates(episodes):
    return plan_sequences(C1, episodes, 0).settings[::STEPS, -2]


def test_a_disturbed_episode_is_taken_again_and_one_that_always_is_given_up(fake, tmp_path):
    rates = first_rates(4)
    plan = plan_sequences(C1, 4, 0).settings.reshape(4, STEPS, -1)
    once, never = int(plan[1, 3, -2]), int(plan[2, 3, -2])
    fake.lost = {once: 1, never: 3}
    frame = load_sequences(collect_sequences(C1, tmp_path, 4, lanes=4), C1)
    assert len(rates) == 4
    assert frame["episode"].nunique() == 3
    assert frame.groupby("episode")["attempt"].first().max() == 2
    assert list(read_given_up(tmp_path / "collection.db").values()) == ["somebody slept"]
    assert load_sequences(collect_sequences(C1, tmp_path, 4, lanes=4), C1)["episode"].nunique() == 4
    assert read_given_up(tmp_path / "collection.db") == {}


def test_a_broken_mesh_ends_it(fake, tmp_path):
    fake.lost = dict.fromkeys(range(400), 10**6)
    with pytest.raises(MeshError, match=r"5 episodes in a row failed, .*somebody slept"):
        collect_sequences(C1, tmp_path, 8, lanes=1)


def test_what_is_no_set_of_sequences_is_refused(fake, tmp_path):
    with pytest.raises(TraceError, match="of scenario S1, not of C1"):
        load_sequences("S1", C1)
    path = collect_sequences(C1, tmp_path, 2, lanes=2)
    frame = load_sequences(path, C1)
    csv = tmp_path / "plain.csv"
    frame.drop(columns=["episode", "interval"]).to_csv(csv, index=False)
    with pytest.raises(TraceError, match="holds single runs, not sequences"):
        load_sequences(csv, C1)
    with pytest.raises(TraceError, match="seed"):
        collect_sequences(C1, tmp_path, 2, seed=1)

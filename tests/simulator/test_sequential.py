"""Simulators of sequences: what they remember, what they draw, and that memory is worth something where it matters."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from meshgym.errors import InvalidValueError, SimulatorError, TraceError
from meshgym.files import read_arrays, write_arrays
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import load_simulator
from meshgym.simulator.sequential import (
    REMEMBERED,
    TARGETS,
    History,
    SequenceSimulator,
    SimulatedSequences,
    input_names,
    sequence_simulator_for,
)
from meshgym.simulator.sequential_fit import CLOCK, WITH, WITHOUT, fit_sequences, to_text
from meshgym.simulator.training import fit_simulator
from meshgym.traces.sequences import plan_sequences
from meshgym.traces.store import load_traces

C1 = load_scenario("C1")
STEPS = C1.control.intervals
NAMES = C1.setting_names


def told(n, ejected=0.0, upstream=0.0):
    shares = {"p_overflow": 0.0, "p_no_healthy_host": 0.0, "p_upstream_error": upstream}
    return {name: np.full(n, value) for name, value in {**shares, "ejected": ejected, "connected": 7.0}.items()}


def setting(rate, errors=6.0):
    return np.array([[5.0, 25.0, 0.5, errors, 16.0, rate, rate]])


def column(inputs, name):
    return inputs[0, input_names(C1).index(name)]


def test_a_history_knows_what_was_left():
    history = History(1, NAMES, STEPS)
    first = history.inputs(setting(100))
    assert first.shape == (1, len(input_names(C1)))
    assert [column(first, name) for name in REMEMBERED] == [0] * len(REMEMBERED)
    history.note(setting(100), told(1, ejected=1, upstream=0.25))
    second = history.inputs(setting(60))
    seen = ("age", "since", "held", "last_rate_per_s", "last_p_upstream_error", "last_ejected", "last_connected")
    assert [column(second, name) for name in seen] == [1, 1, 1, 100, 0.25, 1, 7]
    history.note(setting(60), told(1, ejected=1))
    third = history.inputs(setting(60, errors=1.0))  # other rules
    assert [column(third, name) for name in ("age", "since", "held")] == [2, 0, 2]
    assert [column(third, name) for name in ("before_rate_per_s", "before_p_upstream_error")] == [100, 0.25]
    history.note(setting(60, errors=1.0), told(1))
    assert column(history.inputs(setting(60, errors=1.0)), "held") == 0
    for _ in range(30):
        history.note(setting(60), told(1, ejected=2))
    last = history.inputs(setting(60))
    assert [column(last, name) for name in ("age", "since", "held")] == [STEPS - 1, 20, 20]


def made_up(episodes: int, seed: int = 0) -> pd.DataFrame:
    """Return sequences in which a replica stays ejected after a high rate, until the rules change."""
    plan = plan_sequences(C1, episodes, seed)
    frame = pd.DataFrame(plan.settings, columns=list(plan.names))
    generator = np.random.default_rng(seed)
    ejected, last, rows = 0, None, []
    for number, row in enumerate(plan.settings):
        rules = tuple(row[:-2])
        if number % STEPS == 0 or rules != last:
            ejected = 0
        calls = int(row[-1])
        failed = int(generator.binomial(calls, 0.4 if ejected else 0.02))
        ejected, last = int(bool(ejected) or row[-2] > 120), rules
        rows.append([calls - failed, failed, ejected])
    ok, failed, out = np.array(rows).T
    frame = frame.assign(qps=frame["rate_per_s"], p200=ok / frame["calls"], p503=failed / frame["calls"])
    frame = frame.assign(ok=ok, overflow=0, no_healthy_host=0, upstream_error=failed, other_error=0)
    frame = frame.assign(ejected=out, connected=8, run=np.arange(len(frame)))
    return frame.assign(episode=frame["run"] // STEPS, interval=frame["run"] % STEPS)


@pytest.fixture(scope="module")
def fitted(quick_recipe):
    with quick_recipe():
        return fit_sequences(made_up(80), C1, seed=0)


def test_memory_helps_where_something_stays(fitted):
    _, table = fitted
    rows = table.set_index(["outcome", "ahead", "model"])
    for outcome in ("p503", "ejected"):
        for ahead in (1, 5):
            own = rows.loc[(outcome, ahead, WITH)]
            assert own["gain_low"] > 0.2
            assert own["low"] <= own["error"] <= own["high"]
            assert rows.loc[(outcome, ahead, WITHOUT)]["gain"] == 0
            assert own["error"] < rows.loc[(outcome, ahead, CLOCK)]["error"]
    text = to_text(table)
    assert len(text.splitlines()) == 1 + len(table)


def test_a_file_holds_all_of_it(fitted, tmp_path):
    simulator, _ = fitted
    path = simulator.save(tmp_path / "one.npz")
    again = SequenceSimulator.load(path)
    assert again.identity == simulator.identity
    assert read_arrays(again.save(tmp_path / "two.npz"))["sha256"] == read_arrays(path)["sha256"]
    inputs = History(1, NAMES, STEPS).inputs(setting(100))
    assert {name: value.tolist() for name, value in again.expected(inputs).items()} == {
        name: value.tolist() for name, value in simulator.expected(inputs).items()
    }
    assert sequence_simulator_for(C1, path).identity == simulator.identity


def test_what_isnt_a_simulator_of_sequences_is_refused(fitted, tmp_path):
    simulator, _ = fitted
    path = simulator.save(tmp_path / "one.npz")
    arrays = read_arrays(path)
    edited = {**arrays, "identity": np.array(json.dumps({"schema": "sequences 0"}))}
    write_arrays(tmp_path / "edited.npz", edited)
    with pytest.raises(SimulatorError, match="checksum"):
        SequenceSimulator.load(tmp_path / "edited.npz")
    with pytest.raises(SimulatorError, match=r"no simulator of sequences is bundled for S1"):
        sequence_simulator_for(load_scenario("S1"))
    other = Scenario.from_dict({**C1.to_dict(), "control": {"interval_s": 2.0, "intervals": STEPS}})
    with pytest.raises(SimulatorError, match=r"interval_s': 1\.0.*interval_s': 2\.0"):
        sequence_simulator_for(other, path)
    single = load_simulator("S1").save(tmp_path / "s1.npz")
    with pytest.raises(SimulatorError, match="layout 3, needed: sequences 1"):
        SequenceSimulator.load(single)
    with pytest.raises(TraceError, match="12 episodes are too few"):
        fit_sequences(made_up(12), C1)


def test_sequences_are_no_single_runs():
    with pytest.raises(TraceError, match=r"are sequences.*--sequences FILE"):
        fit_simulator(load_traces("C1"), C1)


def test_draws_scatter_and_follow_from_the_seed(fitted):
    simulator, _ = fitted
    runs = []
    for seed in (1, 1, 2):
        with SimulatedSequences(simulator, C1, copies=3) as sequences:
            sequences.seed([np.random.default_rng(seed + copy) for copy in range(3)])
            sequences.begin()
            runs.append([sequences.measure(np.repeat(setting(160), 3, axis=0)) for _ in range(STEPS + 2)])
    one, same, other = (np.array([step.p503 for step in run]) for run in runs)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[:, 0], one[:, 1])
    counts = np.array([step.details["ejected"] for step in runs[0]])
    assert np.array_equal(counts, np.rint(counts))
    assert (one + np.array([step.p200 for step in runs[0]]) <= 1 + 1e-12).all()


def test_what_is_expected_is_always_the_same(fitted):
    simulator, _ = fitted
    sequences = SimulatedSequences(simulator, C1, sample=False)
    found = []
    for _ in range(2):
        sequences.begin()
        found.append([float(sequences.measure(setting(160)).p503[0]) for _ in range(4)])
    assert found[0] == found[1]
    assert found[0][0] < 0.2 < found[0][3]  # the high rate ejected one


def test_a_sequence_must_be_begun(fitted):
    simulator, _ = fitted
    sequences = SimulatedSequences(simulator, C1)
    with pytest.raises(InvalidValueError, match="begun"):
        sequences.measure(setting(100))
    sequences.begin()
    with pytest.raises(InvalidValueError, match="seed"):
        sequences.measure(setting(100))


def test_the_bundled_one_says_what_it_is():
    simulator = sequence_simulator_for(C1)
    assert simulator.identity.scenario == "C1"
    assert len(TARGETS) == len(simulator.scaling.output_mean)
    assert simulator.identity.metrics["rms_p503_10"] > 0

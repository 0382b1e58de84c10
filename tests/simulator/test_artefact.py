"""The simulator's file, what it refuses, and that a prediction doesn't depend on its batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from meshgym.errors import FolderError, InvalidValueError, SimulatorError
from meshgym.simulator import Simulator, load_simulator
from meshgym.simulator.network import Perceptrons
from meshgym.types import Response

MakeSimulator = Callable[..., Simulator]
#: What a simulator predicts of a response.
PREDICTED = Response._fields[:-1]


def assert_equal(left: Response, right: Response) -> None:
    for name in PREDICTED:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def part(response: Response, rows: Any) -> Response:
    return Response(*(getattr(response, name)[rows] for name in PREDICTED))


def rewrite(path: Path, **changes: Any) -> None:
    """Change entries of a simulator file without mending its checksum."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    with path.open("wb") as file:
        np.savez(file, **(arrays | changes))


@given(rows=st.lists(st.integers(0, 999), min_size=1, max_size=700))
def test_a_prediction_is_the_same_in_every_batch(drawn: tuple[Simulator, Any, Response], rows: list[int]) -> None:
    simulator, settings, expected = drawn
    assert_equal(simulator.predict(settings[rows]), part(expected, rows))


@pytest.fixture(scope="module")
def drawn(make_settings: Callable[[int], Any], make_simulator: MakeSimulator) -> tuple[Simulator, Any, Response]:
    simulator, settings = make_simulator(members=2, width=48), make_settings(1000)
    return simulator, settings, simulator.predict(settings)


@pytest.mark.parametrize("targets", [2, 3])
def test_predictions_are_valid_responses(make_simulator: MakeSimulator, settings: Any, targets: int) -> None:
    response = make_simulator(targets=targets).predict(settings)
    assert len(response.qps) == len(settings)
    assert response.details is None
    assert {getattr(response, name).shape for name in PREDICTED} == {(len(settings),)}
    assert response.qps.min() >= 0
    assert response.p503.min() >= 0
    assert response.p503.max() <= 1
    assert response.qps_std.min() > 0
    total = response.p200.astype(float) + response.p503
    if targets == 2:
        np.testing.assert_allclose(total, 1, atol=1e-7)
    else:
        assert total.max() < 1 + 1e-7
        assert total.min() < 0.99


def test_further_outcomes_fit_together(make_simulator: MakeSimulator, settings: Any) -> None:
    """Shares add up and latencies ascend, in what is expected and in what is drawn."""
    simulator = make_simulator(targets=8)
    for response in (simulator.predict(settings), simulator.sample(settings, np.random.default_rng(0))):
        assert response.details is not None
        assert tuple(response.details) == simulator.further
        shares = [response.details[f"p_{name}"] for name in ("overflow", "no_healthy_host", "upstream_error")]
        assert min(share.min() for share in shares) >= 0
        np.testing.assert_allclose(np.sum(shares, axis=0), response.p503, atol=1e-6)
        assert (response.p200.astype(float) + response.p503).max() < 1 + 1e-6
        assert response.details["latency_p50_s"].min() > 0
        assert (response.details["latency_p50_s"] <= response.details["latency_p99_s"]).all()


def test_intervals_lie_around_what_is_expected(make_simulator: MakeSimulator, settings: Any) -> None:
    simulator = make_simulator(targets=8, spread=0.1)
    response, intervals = simulator.predict(settings), simulator.intervals(settings)
    assert list(intervals) == list(simulator.identity.outcomes)
    for name in ("qps", "p503"):
        low, high = intervals[name].T
        expected = getattr(response, name).astype(float)
        assert (low <= expected + 1e-3).all()
        assert (expected <= high + 1e-3).all()
    assert all(ends.min() >= 0 for ends in intervals.values())
    assert intervals["p503"].max() <= 1


def test_an_outcome_that_never_changed_is_a_constant(make_simulator: MakeSimulator, settings: Any) -> None:
    drawn = make_simulator()
    identity = replace(drawn.identity, constant={"p_reset": 0.0, "p_timeout": 0.0})
    simulator = Simulator(drawn.predictor, drawn.scaling, identity, drawn.calibration)
    response = simulator.predict(settings)
    assert response.details is not None
    assert {name: set(values) for name, values in response.details.items()} == {"p_reset": {0.0}, "p_timeout": {0.0}}
    assert not simulator.intervals(settings)["p_reset"].any()


@pytest.mark.parametrize("members", [1, 3, 8])
def test_the_mean_is_that_of_all_members_to_the_last_bit(
    members: int, make_simulator: Callable[..., Simulator], settings: NDArray[np.float64]
) -> None:
    simulator = make_simulator(members=members)
    assert isinstance(simulator.predictor, Perceptrons)
    ensemble, inputs = simulator.predictor.ensemble, simulator.scaling.inputs(simulator.features.derive(settings))
    np.testing.assert_array_equal(ensemble.mean(inputs, 5), ensemble(inputs, 5).mean(axis=0))


def test_no_settings_give_no_predictions(simulator: Simulator) -> None:
    assert len(simulator.predict(np.empty((0, 9))).qps) == 0


def test_outside_is_what_the_traces_did_not_cover(simulator: Simulator, settings: Any) -> None:
    assert not simulator.predict(settings).outside.any()
    beyond = np.repeat(settings[:1], 9, axis=0) + 1000 * np.eye(9)
    assert simulator.predict(beyond).outside.all()


@pytest.mark.parametrize("settings", [np.zeros(9), np.zeros((3, 8)), np.full((2, 9), np.nan)])
def test_what_is_no_settings_matrix_is_refused(simulator: Simulator, settings: Any) -> None:
    with pytest.raises(InvalidValueError, match="settings"):
        simulator.predict(settings)


def test_a_file_gives_back_the_simulator(simulator: Simulator, settings: Any, tmp_path: Path) -> None:
    path = simulator.save(tmp_path / "new folder" / "S2.npz")
    again = load_simulator(path)
    assert again.identity == simulator.identity
    assert_equal(again.predict(settings), simulator.predict(settings))
    assert again.save(tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_arrays_give_back_the_simulator_and_are_left_alone(simulator: Simulator, settings: Any) -> None:
    arrays = simulator.to_arrays()
    names = set(arrays)
    again = Simulator.from_arrays(arrays, "an agent's file")
    assert set(arrays) == names
    assert again.sha256 == simulator.sha256
    assert_equal(again.predict(settings), simulator.predict(settings))
    with pytest.raises(SimulatorError, match="an agent's file was edited"):
        Simulator.from_arrays(arrays | {"scaling_low": arrays["scaling_high"]}, "an agent's file")


@pytest.mark.parametrize("cut", [0, 100, -100])
def test_a_truncated_file_is_refused(simulator: Simulator, tmp_path: Path, cut: int) -> None:
    path = simulator.save(tmp_path / "S2.npz")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SimulatorError, match="damaged"):
        Simulator.load(path)


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_harmless(drawn_file: Path, position: int, flip: int) -> None:
    content = bytearray(drawn_file.read_bytes())
    content[position % len(content)] ^= flip
    damaged = drawn_file.with_name("damaged.npz")
    damaged.write_bytes(content)
    try:
        loaded = Simulator.load(damaged)
    except SimulatorError:
        return
    rows = np.ones((1, 9))  # a byte that carries nothing, such as a date in the archive
    assert_equal(loaded.predict(rows), Simulator.load(drawn_file).predict(rows))


@pytest.fixture(scope="module")
def drawn_file(make_simulator: MakeSimulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_simulator().save(tmp_path_factory.mktemp("simulator") / "S2.npz")


def test_an_edited_file_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    path = simulator.save(tmp_path / "S2.npz")
    rewrite(path, perceptrons_weight_0=simulator.predictor.ensemble.weights[0] + np.int16(1))
    with pytest.raises(SimulatorError, match="edited"):
        Simulator.load(path)


def test_foreign_and_missing_files_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.npz"
    with foreign.open("wb") as file:
        np.savez(file, weights=np.zeros(3))
    with pytest.raises(SimulatorError, match="not a simulator"):
        Simulator.load(foreign)
    objects = tmp_path / "objects.npz"
    with objects.open("wb") as file:
        np.savez(file, identity=np.array([{"a": 1}], dtype=object))
    with pytest.raises(SimulatorError, match="damaged"):
        Simulator.load(objects)
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    with pytest.raises(SimulatorError, match="isn't a simulator file"):
        Simulator.load(array)
    with pytest.raises(SimulatorError, match="there is no simulator file"):
        load_simulator(tmp_path / "none.npz")


def test_another_layout_is_refused(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = simulator.save(tmp_path / "S2.npz")
    monkeypatch.setattr("meshgym.simulator.artefact.SCHEMA", 99)
    with pytest.raises(SimulatorError, match="layout 3, this meshgym reads layout 99"):
        Simulator.load(path)


def test_a_folder_that_cannot_be_written(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="cannot write"):
        simulator.save(tmp_path / "file" / "S2.npz")

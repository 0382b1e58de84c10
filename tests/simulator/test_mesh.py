"""A simulated mesh responds as its simulator predicts, or scatters as it predicts runs to scatter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meshgym.errors import MeshError
from meshgym.scenarios import load_scenario
from meshgym.simulator import SimulatedMesh, Simulator, response_table
from meshgym.types import Setting


def test_measure_is_predict(simulator: Simulator, settings: Any) -> None:
    expected = simulator.predict(settings[:5])
    with SimulatedMesh(simulator) as mesh:
        assert not mesh.live
        for row, values in enumerate(settings[:5]):
            setting = Setting.from_row(values)
            response = mesh.measure(setting.rules, setting.load)
            assert response == (*(column[row] for column in expected[:-1]), None)
            assert [type(value) for value in response[:-1]] == [float] * 5 + [bool]


def test_a_closed_mesh_refuses(simulator: Simulator, settings: Any) -> None:
    mesh = SimulatedMesh(simulator)
    mesh.close()
    mesh.close()
    with pytest.raises(MeshError, match="closed"):
        mesh.measure_many(settings)
    with pytest.raises(MeshError, match="closed"):
        mesh.on_grid(load_scenario("S2"))


def test_samples_scatter_as_predicted(make_simulator: Callable[..., Simulator], settings: Any) -> None:
    simulator = make_simulator(spread=0.05)
    row = simulator.predict(settings)
    room = np.minimum.reduce([row.qps / row.qps_std, row.p503 / row.p503_std, (1 - row.p503) / row.p503_std])
    inner = room.argmax()
    assert room[inner] > 4  # deviations to the nearest bound, so that next to nothing is clipped
    many = np.repeat(settings[inner : inner + 1], 20_000, axis=0)
    drawn = SimulatedMesh(simulator, sample=True, seed=3).measure_many(many)
    np.testing.assert_allclose(drawn.qps.mean(), row.qps[inner], rtol=0.01)
    np.testing.assert_allclose(drawn.qps.std(), row.qps_std[inner], rtol=0.03)
    np.testing.assert_allclose(drawn.p503.std(), row.p503_std[inner], rtol=0.03)
    np.testing.assert_allclose(np.corrcoef(drawn.qps, drawn.p503)[0, 1], 0.7, atol=0.03)


@pytest.mark.parametrize("targets", [2, 3])
def test_samples_are_valid_responses(make_simulator: Callable[..., Simulator], settings: Any, targets: int) -> None:
    simulator = make_simulator(targets=targets)
    drawn = SimulatedMesh(simulator, sample=True, seed=0).measure_many(settings)
    assert drawn.qps.min() >= 0
    assert drawn.p503.min() >= 0
    assert drawn.p503.max() <= 1
    other = 1 - drawn.p503.astype(float) - drawn.p200
    if targets == 2:
        np.testing.assert_allclose(other, 0, atol=1e-6)
    assert other.min() > -1e-6


def test_one_seed_gives_the_same_samples(simulator: Simulator, settings: Any) -> None:
    first, second, other = (
        SimulatedMesh(simulator, sample=True, seed=seed).measure_many(settings) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.qps, second.qps)
    np.testing.assert_array_equal(first.p503, second.p503)
    assert not np.array_equal(first.qps, other.qps)


def test_by_index_it_reads_the_shared_table_unless_it_draws(simulator: Simulator) -> None:
    scenario = load_scenario("S2")
    assert SimulatedMesh(simulator).on_grid(scenario) is response_table(simulator, scenario)
    index = np.zeros(1000, dtype=int)
    drawn = SimulatedMesh(simulator, sample=True, seed=0).on_grid(scenario).measure(index, index, index)
    assert len(np.unique(drawn.qps)) > 100

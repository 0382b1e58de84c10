"""One mesh, asked for one setting, for many, and by index."""

from __future__ import annotations

import numpy as np
import pytest

from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario
from meshgym.testing import FakeMesh
from meshgym.types import Load, TrafficRules


def test_many_settings_are_measured_one_after_the_other(shop: Scenario) -> None:
    mesh = FakeMesh()
    settings = [[*rules, 4, 60] for rules in shop.rule_grid()[[0, 50, 107]]]
    many = mesh.measure_many(settings)
    assert [(rules.to_dict(), load) for rules, load in mesh.measured] == [
        (TrafficRules(*row[:7]).to_dict(), Load(4, 60)) for row in settings
    ]
    each = [FakeMesh().measure(TrafficRules(*row[:7]), Load(4, 60)) for row in settings]
    for name in ("qps", "p200", "p503"):
        assert getattr(many, name).tolist() == [getattr(response, name) for response in each]
    assert np.isnan(many.qps_std).all()
    assert many.outside.tolist() == [False] * 3
    assert many.details is None


def test_no_settings_give_no_responses() -> None:
    many = FakeMesh().measure_many(np.empty((0, 9)))
    assert [len(column) for column in many[:-1]] == [0] * 6


@pytest.mark.parametrize("settings", [np.zeros(9), np.zeros((3, 8)), np.full((2, 9), np.nan), np.zeros((2, 9))])
def test_what_is_no_settings_matrix_is_refused(settings: np.ndarray) -> None:
    with pytest.raises(InvalidValueError):
        FakeMesh().measure_many(settings)


def test_by_index(shop: Scenario) -> None:
    mesh = FakeMesh()
    grid = mesh.on_grid(shop)
    assert np.array_equal(grid.rules, shop.rule_grid())
    one = grid.measure(5, 2, 3)
    assert mesh.measured == [(TrafficRules(*grid.rules[5]), Load(4, 60))]
    assert one.details is not None
    row, threads, calls = np.indices((2, 3, 4))
    many = grid.measure(row + 4, threads, calls)
    assert many.qps.shape == (2, 3, 4)
    assert (many.qps[1, 2, 3], many.p200[1, 2, 3], many.p503[1, 2, 3]) == one[:3]

"""The plan of a collection: which settings are run, in which order, and which are repeated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario
from meshgym.types import SETTING_NAMES

#: One setting in so many is run twice, to measure the noise.
_REPEATED_ONE_IN = 10


@dataclass(frozen=True)
class Plan:
    """Settings in the order in which they are run.

    Attributes:
        settings: shape (rows, columns).
        repeat: shape (rows,), 0 for the first run of a setting, 1 and above for its repeats.
        names: columns of the settings: the rules that vary, then the load.
        asked: why each run is made, shape (rows,), see :data:`meshgym.traces.schema.BOOKKEEPING`; None if all of them
            cover the ranges.
    """

    settings: NDArray[np.float64]
    repeat: NDArray[np.int64]
    names: tuple[str, ...] = SETTING_NAMES
    asked: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.settings)

    @property
    def sha256(self) -> str:
        """Hash of settings and order."""
        names = b"" if self.names == SETTING_NAMES else ",".join(self.names).encode()  # as before there were others
        asked = b"" if self.asked is None else self.asked.tobytes()
        return hashlib.sha256(names + self.settings.tobytes() + self.repeat.tobytes() + asked).hexdigest()


def make_plan(scenario: Scenario, rows: int, seed: int) -> Plan:
    """Draw a shuffled Latin hypercube over the scenario's grid, and repeat a tenth of its settings.

    Among the first runs of settings, all values of a field are equally frequent, give or take one. The shuffle
    separates what the machine does over time from what the settings do.

    Args:
        scenario: its ranges are covered.
        rows: runs in total, repeats included, at least 1.
        seed: seed of the draw and the shuffle.

    Raises:
        InvalidValueError: rows below 1.
    """
    if rows < 1:
        raise InvalidValueError("rows", rows, "a whole number, at least 1")
    generator = np.random.default_rng(seed)
    distinct = rows - rows // (_REPEATED_ONE_IN + 1)
    columns = [generator.permutation(_levels(span.values, distinct)) for span in scenario.ranges.values()]
    first = np.column_stack(columns)
    again = generator.choice(distinct, size=rows - distinct, replace=False)
    settings = np.concatenate([first, first[again]])
    repeat = np.repeat([0, 1], [distinct, rows - distinct])
    order = generator.permutation(rows)
    # Whichever of the two runs comes first counts as the first run, however it was drawn.
    place = np.argsort(order)
    earlier = place[distinct:] < place[again]
    repeat[again[earlier]], repeat[distinct:][earlier] = 1, 0
    return Plan(settings[order], repeat[order].astype(np.int64), scenario.setting_names)


def _levels(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return ``count`` values: each about equally often, or evenly spread ones if there are more than ``count``."""
    if count < len(values):
        values = values[((np.arange(count) + 0.5) * len(values) / count).astype(int)]
    return np.resize(values, count)

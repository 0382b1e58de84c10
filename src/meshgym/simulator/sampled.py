"""A scenario's finite grid, with responses drawn from their predicted distributions almost as fast as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError
from meshgym.mesh.base import Index, IndexedMesh
from meshgym.simulator.calibration import KNOTS, places
from meshgym.simulator.lazy import LazyRows
from meshgym.simulator.outcomes import to_outcomes
from meshgym.simulator.table import ResponseTable
from meshgym.traces.outcomes import FIRST
from meshgym.types import RESPONSE_NAMES, Response

FloatArray = NDArray[np.float64]
#: Where a drawn response lies between the knots of its distribution is one of so many places.
_PLACES = 65_536
#: Places drawn at once. A seed's sequence depends on it, so it is the same for one environment and for many.
_BLOCK = 1024
#: Between the knots of a distribution.
_STRETCHES = KNOTS - 1
_make = Response._make


class SampledTable(IndexedMesh):
    """Draws each response; ``qps_std``, ``p503_std`` and ``outside`` are those of the table.

    Distributions are computed when an entry is first read and kept beside the table, for all who draw from it.

    Args:
        table: the expected responses.
        further: whether further outcomes are drawn, too; else only qps, p200 and p503.
        generator: of the draws until :meth:`seed` is called.
    """

    def __init__(self, table: ResponseTable, further: bool, generator: np.random.Generator) -> None:
        super().__init__(table.scenario)
        self._table, simulator = table, table.simulator
        self._plain = not further and "p200" not in simulator.identity.outcomes
        self._names = FIRST if self._plain else simulator.identity.outcomes
        self._constant = {} if self._plain else simulator.identity.constant
        self._further = simulator.further if further else ()
        self._generators: Sequence[np.random.Generator] = [generator]
        self._seeded = False
        self._count: int | None = None
        self._places: Iterator[Any] = iter(())
        self._open()

    def _open(self) -> None:
        """Find the distributions beside the table."""
        table, self._width = self._table, len(self._names) * _STRETCHES
        name = f"distributions of {len(self._names)}"
        if name not in table.beside:
            table.beside[name] = LazyRows(len(table.filled), 2 * self._width, f"{table.name} {name}", self._stretches)
        self._rows = table.beside[name]
        self._numbers = self._rows.entries.view(np.complex64).reshape(-1)  # one read gets both numbers

    def __getstate__(self) -> dict[str, Any]:
        computed = ("_rows", "_numbers", "_pool", "_plain_pool")  # again where it's needed
        return {name: value for name, value in self.__dict__.items() if name not in computed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    @property
    def expected(self) -> IndexedMesh:
        """See :attr:`IndexedMesh.expected`."""
        return self._table

    def seed(self, generators: Sequence[np.random.Generator]) -> None:
        """See :meth:`IndexedMesh.seed`."""
        self._generators = [generator.spawn(1)[0] for generator in generators]
        self._seeded, self._places = True, iter(())

    def measure(self, row: Index, pace: Index, calls: Index) -> Response:
        """See :meth:`IndexedMesh.measure`.

        Raises:
            InvalidValueError: after :meth:`seed`, another number of entries than there were generators.
        """
        expected = self._table.measure(row, pace, calls)
        flat = self._table.index(row, pace, calls)
        if not isinstance(flat, int):
            return self._many(expected, flat)
        if self._plain:
            return self._one(expected, flat)
        *columns, details = self._many(expected, np.array([flat]))
        told = {name: value.item() for name, value in details.items()} if details else None
        return _make([*(np.ravel(column)[0].item() for column in columns), told])

    def _one(self, expected: Response, flat: int) -> Response:
        """Do for a single entry what :meth:`_many` does, in plain numbers."""
        if not self._rows.filled[flat]:
            self._rows.fill(np.array([flat]))
        (of_qps, of_p503), (part_qps, part_p503) = self._plain_pool[self._next(None)]
        start, numbers = flat * self._width, self._numbers
        qps, p503 = numbers.item(start + of_qps), numbers.item(start + of_p503)
        qps, p503 = qps.real + part_qps * qps.imag, p503.real + part_p503 * p503.imag
        qps, p503 = max(qps, 0.0), min(max(p503, 0.0), 1.0)
        return _make((qps, 1 - p503, p503, *expected[3:]))

    def _many(self, expected: Response, flat: NDArray[np.int64]) -> Response:
        place = self._next(flat.size).astype(np.intp)
        self._rows.fill(flat.ravel())
        start, targets = flat.ravel() * self._width, []
        for stretches, parts in zip(*self._pool, strict=True):
            stretch = self._numbers.take(start + stretches.take(place))
            targets.append((stretch.real + parts.take(place) * stretch.imag).reshape(flat.shape))
        if self._plain:
            qps, p503 = np.maximum(targets[0], 0.0), np.minimum(np.maximum(targets[1], 0.0), 1.0)
            return _make((qps, 1 - p503, p503, *expected[3:]))
        found = to_outcomes(self._names, np.stack(targets, axis=-1), self._constant)
        details = {name: found[name] for name in self._further} or None
        return expected._replace(**{name: found[name] for name in RESPONSE_NAMES}, details=details)

    @cached_property
    def _pool(self) -> tuple[NDArray[np.int64], FloatArray]:
        """All places by target, shape (targets, places): the stretch in an entry's row, and the part of the way on it.

        Each target's places are evenly spread, so that none of them is luckier than the distribution.
        """
        generator, count = np.random.default_rng(0), len(self._names)
        even = [NormalDist().inv_cdf((place + 0.5) / _PLACES) for place in range(_PLACES)]
        normal = np.column_stack([generator.permutation(even) for _ in range(count)])
        left, part = places(normal, self._table.simulator.calibration.correlation[:count, :count])
        return np.ascontiguousarray((left + _STRETCHES * np.arange(count)).T), np.ascontiguousarray(part.T)

    @cached_property
    def _plain_pool(self) -> list[tuple[list[int], list[float]]]:
        return list(zip(*(numbers.T.tolist() for numbers in self._pool), strict=True))

    def _next(self, count: int | None) -> Any:
        """Return the next place of each of ``count`` entries as an array, or of a single one as a plain number."""
        if count != self._count:  # whoever asks for several sizes in turn has no seed that this could break
            self._places, self._count = iter(()), count
        for place in self._places:
            return place
        if self._seeded and (count or 1) != len(self._generators):
            raise InvalidValueError("entries to draw", count, f"{len(self._generators)}, as seeded")
        generators = self._generators if self._seeded else [*self._generators] * (count or 1)
        drawn = np.array([generator.integers(_PLACES, size=_BLOCK, dtype=np.uint16) for generator in generators])
        self._places = iter(drawn[0].tolist() if count is None else np.ascontiguousarray(drawn.T))
        return next(self._places)

    def _stretches(self, flat: NDArray[np.int64]) -> list[FloatArray]:
        """Return where each stretch between two knots begins, and how long it is, target by target."""
        first = len(FIRST) if self._plain else None
        knots = self._table.simulator.knots(self._table.settings_at(flat), first)
        pairs = np.stack([knots[..., :-1], np.diff(knots, axis=-1)], axis=-1)
        return list(pairs.reshape(len(flat), -1).T)

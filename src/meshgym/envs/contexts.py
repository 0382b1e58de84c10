"""Contexts: the rules, and the value of an uncontrolled load field, that an agent meets next.

They don't depend on the agent's actions (the rules are exogenous), so they are drawn in blocks. A context is one
whole number, ``rule_row * n_free + free_choice``: a row of :meth:`Scenario.rule_grid`, and an index into the values of
the uncontrolled load field (``n_free`` is 1 if both fields are controlled).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.scenarios import Scenario
from meshgym.types import RULE_NAMES

FloatArray = NDArray[np.float64]
#: int32 keeps the blocks of thousands of environments small; the rows of any grid that fits into memory fit into it.
Contexts = NDArray[np.int32]

CONTEXT_NAMES: tuple[str, ...] = ("uniform", "traces", "walk")


class ContextSource(ABC):
    """Draws contexts with the generators it is given."""

    @abstractmethod
    def draw(self, generators: Sequence[np.random.Generator], previous: Contexts | None, size: int) -> Contexts:
        """Draw the next ``size`` contexts for each generator, shape (len(generators), size).

        Args:
            generators: each draws one row, independent of the others.
            previous: the last contexts drawn before, shape (len(generators),); None at the start.
            size: how many to draw.
        """


def _below(count: int, generators: Sequence[np.random.Generator], size: int) -> Contexts:
    """Draw whole numbers 0..count-1 with equal probability, one row per generator.

    With thousands of generators this is twice as fast as ``Generator.integers``. It starts from 53 random bits, so
    rounding makes no number noticeably more likely.
    """
    drawn = np.empty((len(generators), size))
    for generator, row in zip(generators, drawn, strict=True):
        generator.random(out=row)
    return (drawn * count).astype(np.int32)


class UniformContexts(ContextSource):
    """Independent contexts, all equally likely.

    Args:
        count: number of contexts.
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def draw(self, generators: Sequence[np.random.Generator], previous: Contexts | None, size: int) -> Contexts:
        return _below(self._count, generators, size)


class RowContexts(ContextSource):
    """Independent contexts from given rows of the rules grid, each as likely as it is frequent.

    Args:
        rows: shape (n,).
        n_free: number of values of the uncontrolled load field.
    """

    def __init__(self, rows: NDArray[np.int64], n_free: int) -> None:
        free = np.arange(n_free, dtype=np.int32)
        self._contexts = (rows.astype(np.int32)[:, None] * n_free + free).ravel()

    def draw(self, generators: Sequence[np.random.Generator], previous: Contexts | None, size: int) -> Contexts:
        return self._contexts[_below(len(self._contexts), generators, size)]


class WalkContexts(ContextSource):
    """A slow random walk: every rule goes one step up, one step down or stays, and turns back at both ends.

    The walk starts anywhere on the grid. The uncontrolled load field is drawn independently each time.

    Args:
        shape: number of values of each rule.
        n_free: number of values of the uncontrolled load field.
    """

    def __init__(self, shape: tuple[int, ...], n_free: int) -> None:
        self._shape = shape
        self._n_free = n_free

    def draw(self, generators: Sequence[np.random.Generator], previous: Contexts | None, size: int) -> Contexts:
        starts = [None] * len(generators) if previous is None else (previous // self._n_free).tolist()
        rows = np.array([self._walk(*pair, size) for pair in zip(generators, starts, strict=True)], dtype=np.int32)
        return rows * np.int32(self._n_free) + _below(self._n_free, generators, size)

    def _walk(self, generator: np.random.Generator, start: int | None, size: int) -> NDArray[np.int64]:
        """Walk from row ``start`` of the rules grid and return the rows that follow, shape (size,)."""
        last = np.array(self._shape) - 1
        steps = generator.integers(-1, 2, size=(size, len(last)))
        if start is None:
            steps[0] = generator.integers(0, last + 1)
        else:
            steps[0] += np.unravel_index(start, self._shape)
        unfolded = steps.cumsum(axis=0) % np.maximum(2 * last, 1)
        position = last - np.abs(unfolded - last)  # the walk on a line, folded at 0 and at the last value
        rows: NDArray[np.int64] = np.ravel_multi_index(tuple(position.T), self._shape)
        return rows


def load_contexts(contexts: str | ArrayLike, scenario: Scenario, n_free: int) -> ContextSource:
    """Return a source of contexts.

    Args:
        contexts: ``"uniform"`` over the scenario's grid; ``"traces"``, the rules of the scenario's bundled
            trace set, as often as they occur there; ``"walk"``; or your own rules, shape (n, 7), columns as
            ``meshgym.types.RULE_NAMES``.
        scenario: the scenario that the rules belong to.
        n_free: number of values of the uncontrolled load field.

    Raises:
        UnknownNameError: an unknown name.
        InvalidValueError: rules of another shape, or outside the scenario's grid.
    """
    shape = tuple(len(span.values) for span in scenario.rules.values())
    if not isinstance(contexts, str):
        return RowContexts(_grid_rows(np.asarray(contexts, dtype=np.float64), scenario), n_free)
    if contexts == "uniform":
        return UniformContexts(math.prod(shape) * n_free)
    if contexts == "walk":
        return WalkContexts(shape, n_free)
    if contexts == "traces":
        from meshgym.traces.store import load_traces  # needs pandas

        rules = load_traces(scenario.name)[list(RULE_NAMES)].to_numpy(dtype=np.float64)
        return RowContexts(_grid_rows(rules, scenario), n_free)
    raise UnknownNameError("contexts", contexts, CONTEXT_NAMES)


def _grid_rows(rules: FloatArray, scenario: Scenario) -> NDArray[np.int64]:
    """Find each row of ``rules``, shape (n, 7), in the scenario's grid; return its row numbers, shape (n,)."""
    if rules.ndim != 2 or rules.shape[1] != len(RULE_NAMES) or not len(rules):
        raise InvalidValueError("shape of contexts", rules.shape, f"(n, 7): {', '.join(RULE_NAMES)}")
    axes = [span.values for span in scenario.rules.values()]
    indices = []
    for name, axis, column in zip(RULE_NAMES, axes, rules.T, strict=True):
        nearest = np.abs(column[:, None] - axis).argmin(axis=1)
        foreign = column[~np.isclose(axis[nearest], column, rtol=0, atol=1e-9)]
        if len(foreign):
            raise InvalidValueError(
                f"{name} in contexts",
                float(foreign[0]),
                ", ".join(f"{value:g}" for value in axis),
                "Leave out such rows, or widen the scenario's range.",
            )
        indices.append(nearest)
    rows: NDArray[np.int64] = np.ravel_multi_index(tuple(indices), tuple(len(axis) for axis in axes))
    return rows

"""Contexts: the rules, and the value of an uncontrolled load field, that an agent meets next.

They don't depend on the agent's actions (the rules are exogenous), so they are drawn in blocks. A context is one
whole number, ``rule_row * n_free + free_choice``: a row of :meth:`Scenario.rule_grid`, and an index into the values of
the uncontrolled load field (``n_free`` is 1 if both fields are controlled).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.scenarios import Scenario

FloatArray = NDArray[np.float64]
#: int32 keeps the blocks of thousands of environments small; the rows of any grid that fits into memory fit into it.
Contexts = NDArray[np.int32]
Generators = Sequence[np.random.Generator]
#: ``draw(generators, previous, size)`` draws the next ``size`` contexts for each generator, shape
#: (len(generators), size), independent of the other generators. ``previous`` has the last contexts drawn before, shape
#: (len(generators),); it is None at the start.
Draw = Callable[[Generators, Contexts | None, int], Contexts]

CONTEXT_NAMES: tuple[str, ...] = ("uniform", "traces", "walk")


def load_contexts(
    contexts: str | ArrayLike, scenario: Scenario, n_free: int, axes: Mapping[str, ArrayLike] | None = None
) -> Draw:
    """Return a function that draws contexts.

    Args:
        contexts: ``"uniform"`` for the scenario's whole grid, all equally likely; ``"traces"``, the rules of the
            scenario's bundled trace set, as often as they occur there; ``"walk"``, a slow random walk; or your own
            rules, shape (n, rules), columns as the scenario's ``rule_names``. The uncontrolled load field is always
            drawn independently.
        scenario: the scenario that the rules belong to.
        n_free: number of values of the uncontrolled load field.
        axes: another grid than that of the rules, as values by name; see :mod:`meshgym.envs.defence`.

    Raises:
        UnknownNameError: an unknown name.
        InvalidValueError: rules of another shape, or outside the scenario's grid.
    """
    grid = {name: span.values for name, span in scenario.rules.items()}
    if axes is not None:
        grid = {name: np.asarray(values, dtype=np.float64) for name, values in axes.items()}
    shape = tuple(map(len, grid.values()))
    if isinstance(contexts, str):
        if contexts == "uniform":
            return partial(_uniform, math.prod(shape) * n_free)
        if contexts == "walk":
            return partial(_walks, shape, n_free)
        if contexts != "traces":
            raise UnknownNameError("contexts", contexts, CONTEXT_NAMES)
        from meshgym.traces.store import load_traces  # needs pandas

        contexts = load_traces(scenario.name)[list(grid)].to_numpy()
    rows = _grid_rows(np.asarray(contexts, dtype=np.float64), grid).astype(np.int32)
    return partial(_chosen, np.add.outer(rows * np.int32(n_free), np.arange(n_free, dtype=np.int32)).ravel())


def _uniform(count: int, generators: Generators, previous: Contexts | None, size: int) -> Contexts:
    """Draw whole numbers 0..count-1, all equally likely.

    With thousands of generators this is twice as fast as ``Generator.integers``. It starts from 53 random bits, so
    rounding makes no number noticeably more likely.
    """
    drawn = np.empty((len(generators), size))
    for generator, row in zip(generators, drawn, strict=True):
        generator.random(out=row)
    return (drawn * count).astype(np.int32)


def _chosen(contexts: Contexts, generators: Generators, previous: Contexts | None, size: int) -> Contexts:
    """Draw from given contexts, shape (n,); each is as likely as it is frequent."""
    return contexts[_uniform(len(contexts), generators, previous, size)]


def _walks(
    shape: tuple[int, ...], n_free: int, generators: Generators, previous: Contexts | None, size: int
) -> Contexts:
    """Go on with a random walk over the rules, which have ``shape`` values; it starts anywhere on the grid."""
    starts = [None] * len(generators) if previous is None else (previous // n_free).tolist()
    rows = np.array([_walk(shape, *pair, size) for pair in zip(generators, starts, strict=True)], dtype=np.int32)
    return rows * np.int32(n_free) + _uniform(n_free, generators, None, size)


def _walk(shape: tuple[int, ...], generator: np.random.Generator, start: int | None, size: int) -> NDArray[np.int64]:
    """Walk from row ``start`` of the rules grid and return the rows that follow, shape (size,).

    Every rule goes one step up, one step down or stays, and turns back at both ends.
    """
    last = np.array(shape) - 1
    steps = generator.integers(-1, 2, size=(size, len(last)))
    if start is None:
        steps[0] = generator.integers(0, last + 1)
    else:
        steps[0] += np.unravel_index(start, shape)
    unfolded = steps.cumsum(axis=0) % np.maximum(2 * last, 1)
    position = last - np.abs(unfolded - last)  # the walk on a line, folded at 0 and at the last value
    rows: NDArray[np.int64] = np.ravel_multi_index(tuple(position.T), shape)
    return rows


def _grid_rows(rules: FloatArray, grid: Mapping[str, FloatArray]) -> NDArray[np.int64]:
    """Find each row of ``rules``, shape (n, rules), in the grid; return its row numbers, shape (n,)."""
    names, axes = list(grid), list(grid.values())
    if rules.ndim != 2 or rules.shape[1] != len(names) or not len(rules):
        raise InvalidValueError("shape of contexts", rules.shape, f"(n, {len(names)}): {', '.join(names)}")
    indices = []
    for name, axis, column in zip(names, axes, rules.T, strict=True):
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

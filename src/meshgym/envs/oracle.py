"""The expected reward of every action: what a perfect agent would know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.envs.spaces import Actions
from meshgym.mesh.base import Index, IndexedMesh
from meshgym.types import Response

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Oracle:
    """Asks a mesh for the expected response to every action.

    Args:
        actions: of the environment.
        mesh: returns what is expected.
        rewarded: returns the rewards of a response to entries of the mesh's grid.
    """

    def __init__(
        self, actions: Actions, mesh: IndexedMesh, rewarded: Callable[[Response, Index, Index, Index], Any]
    ) -> None:
        self._actions, self._mesh, self._rewarded = actions, mesh, rewarded
        self._counts = [len(values) for values in actions.values.values()]
        #: Of the load fields, the one that isn't controlled.
        self._axis = list(actions.values).index(actions.free) + 1 if actions.free else None
        n_free = self._counts[self._axis - 1] if self._axis else 1
        self._best = np.full((len(mesh.rules), n_free), np.nan)

    def expected(self, row: IntArray, pace: IntArray, calls: IntArray) -> FloatArray:
        """Return the expected rewards of entries of the grid; indices, and so rewards, of one shape."""
        response = self._mesh.measure(row, pace, calls)
        rewards: FloatArray = np.asarray(self._rewarded(response, row, pace, calls), np.float64)
        return rewards

    def surfaces(self, rows: IntArray) -> FloatArray:
        """Return the expected reward of every load under n rows of the rules grid, shape (n, n_paces, n_calls)."""
        shape = (len(rows), *self._counts)
        row, pace, calls = (index.ravel() for index in np.indices(shape))
        return self.expected(rows[row], pace, calls).reshape(shape)

    def choices(self, rows: IntArray, free: IntArray) -> FloatArray:
        """Return the expected reward of every action in n contexts, shape (n, actions).

        Args:
            rows: of the rules grid.
            free: index of the load field that isn't controlled; 0 without one.
        """
        surfaces = self.surfaces(rows)
        if self._axis:
            surfaces = np.moveaxis(surfaces, self._axis, 1)[np.arange(len(rows)), free]
        return surfaces.reshape(len(rows), -1)

    def best(self, rows: IntArray, free: IntArray) -> FloatArray:
        """Return the most that any action is expected to get in n contexts, shape (n,); it is remembered."""
        new = np.isnan(self._best[rows, free])
        if new.any():
            self._best[rows[new], free[new]] = self.choices(rows[new], free[new]).max(axis=1)
        found: FloatArray = self._best[rows, free]
        return found

    def action(self, row: int, free: int) -> tuple[Any, float]:
        """Return the action with the highest expected reward in a context, and that reward."""
        rewards = self.choices(np.array([row]), np.array([free]))[0]
        best = int(rewards.argmax())
        names = self._actions.names
        indices = np.unravel_index(best, [len(self._actions.values[name]) for name in names])
        load = {name: self._actions.values[name][index] for name, index in zip(names, indices, strict=True)}
        return self._actions.encode(**load), float(rewards[best])

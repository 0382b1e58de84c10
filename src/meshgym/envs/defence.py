"""The defender: chooses the rules under a load that it can't choose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from meshgym.envs.contexts import load_contexts
from meshgym.envs.core import Core, Info, Observation
from meshgym.envs.options import RULES_CONTROL, Options
from meshgym.envs.oracle import Oracle
from meshgym.envs.picture import Picture
from meshgym.errors import InvalidValueError
from meshgym.mesh.base import Index, IndexedMesh
from meshgym.scenarios import Scenario
from meshgym.types import Response

IntArray = NDArray[np.int64]


class RuleActions:
    """The rules of a scenario as actions; only those that vary are chosen.

    Args:
        scenario: has their ranges.
        flat: whether one whole number chooses all of them, the last rule changing fastest.
        continuous: whether a number from 0 to 1 chooses each of them.

    Attributes:
        names: the rules that vary.
        free: None, as nothing of the load is chosen.
        values: of each of these rules, by name.
        space: ``MultiDiscrete``, ``Discrete`` if ``flat``, or a ``Box`` from 0 to 1 if ``continuous``.

    Raises:
        InvalidValueError: no rule varies, or both forms are wanted.
    """

    free = None

    def __init__(self, scenario: Scenario, flat: bool = False, continuous: bool = False) -> None:
        if flat and continuous:
            raise InvalidValueError("flat and continuous", [True, True], "one of them")
        spans = {name: span.values for name, span in scenario.rules.items()}
        self.values = {name: tuple(values.tolist()) for name, values in spans.items() if len(values) > 1}
        self.names = tuple(self.values)
        if not self.names:
            raise InvalidValueError("control", RULES_CONTROL, "something else where no rule varies")
        self.counts = [len(values) for values in self.values.values()]
        self._flat, self._continuous = flat, continuous
        count = len(self.counts)
        self.space: spaces.Space[Any] = (
            spaces.Discrete(math.prod(self.counts))
            if flat
            else spaces.Box(0, 1, (count,))
            if continuous
            else spaces.MultiDiscrete(self.counts)
        )

    def choices(self, action: Any) -> dict[str, int]:
        """Return the row of the rules grid that an action chooses, as ``{"rules": row}``.

        Raises:
            InvalidValueError: the action isn't in the space.
        """
        return {RULES_CONTROL: int(self._rows(action, self.space.shape or ()))}

    def batch_choices(self, actions: Any, count: int) -> dict[str, IntArray]:
        """Return the rows of ``count`` environments; see :meth:`choices`."""
        return {RULES_CONTROL: self._rows(actions, (count, *(self.space.shape or ())))}

    def _rows(self, actions: Any, shape: tuple[int, ...]) -> Any:
        given = np.asarray(actions)
        kinds = "iuf" if self._continuous else "iu"
        allowed = "numbers from 0 to 1" if self._continuous else "whole numbers"
        if given.shape != shape or given.dtype.kind not in kinds:
            raise InvalidValueError("action", actions, f"{allowed} of shape {shape}")
        most = [math.prod(self.counts)] if self._flat else self.counts
        if self._continuous:
            if not ((given >= 0) & (given <= 1)).all():
                raise InvalidValueError("action", actions, allowed)
            given = np.minimum((given * self.counts).astype(np.int64), np.array(self.counts) - 1)
        if not ((given >= 0) & (given < most)).all():
            raise InvalidValueError("action", actions, f"{allowed} below {', '.join(map(str, most))}")
        return given if self._flat else np.ravel_multi_index(tuple(np.moveaxis(given, -1, 0)), self.counts)

    def decode(self, action: Any) -> dict[str, float]:
        """Return the values that an action chooses, by rule."""
        indices = np.unravel_index(self.choices(action)[RULES_CONTROL], self.counts)
        return {name: values[index] for (name, values), index in zip(self.values.items(), indices, strict=True)}

    def encode(self, **rules: float) -> Any:
        """Return the action that chooses these values; the inverse of :meth:`decode`.

        Raises:
            InvalidValueError: other rules than those that vary, or a value that a rule can't have.
        """
        if set(rules) != set(self.names):
            raise InvalidValueError("rules", sorted(rules), f"exactly {', '.join(self.names)}")
        indices = []
        for name, values in self.values.items():
            if rules[name] not in values:
                raise InvalidValueError(name, rules[name], f"one of {', '.join(f'{value:g}' for value in values)}")
            indices.append(values.index(rules[name]))
        return self.at(np.array(indices))

    def at(self, indices: IntArray) -> Any:
        """Return the action that chooses the values at these indices, one for each rule that varies."""
        if self._flat:
            return int(np.ravel_multi_index(tuple(indices), self.counts))
        if self._continuous:
            return ((indices + 0.5) / self.counts).astype(np.float32)
        return indices


class RuleOracle(Oracle):
    """Asks a mesh for the expected response to a load under all rules."""

    def __init__(
        self, actions: RuleActions, mesh: IndexedMesh, rewarded: Callable[[Response, Index, Index, Index], Any]
    ) -> None:
        self._rules, self._mesh, self._rewarded = actions, mesh, rewarded
        self._best = np.full((len(mesh.paces) * len(mesh.calls), 1), np.nan)

    def surfaces(self, rows: IntArray) -> NDArray[np.float64]:
        """Return the expected rewards under n loads, shape (n, values of each rule that varies)."""
        count = len(self._mesh.rules)
        pace, calls = np.divmod(np.repeat(rows, count), len(self._mesh.calls))
        rewards = self.expected(np.tile(np.arange(count), len(rows)), pace, calls)
        return rewards.reshape(len(rows), *self._rules.counts)

    def choices(self, rows: IntArray, free: IntArray) -> NDArray[np.float64]:
        """Return the expected reward of every action under n loads, shape (n, actions)."""
        return self.surfaces(rows).reshape(len(rows), -1)

    def action(self, row: int, free: int) -> tuple[Any, float]:
        """Return the action with the highest expected reward under a load, and that reward."""
        rewards = self.choices(np.array([row]), np.array([free]))[0]
        best = int(rewards.argmax())
        return self._rules.at(np.array(np.unravel_index(best, self._rules.counts))), float(rewards[best])


class DefenceCore(Core):
    """A core whose contexts are loads and whose choices are rules; see :class:`meshgym.envs.core.Core`.

    A context is a whole number: ``pace * n_calls + calls``.
    """

    def _actions(self, options: Options) -> RuleActions:
        return RuleActions(self.scenario, options.flat, options.continuous)

    def _open_contexts(self, options: Options) -> None:
        axes = {name: np.array(values, np.float64) for name, values in self.scenario.actions.items()}
        loads = np.stack(np.meshgrid(*axes.values(), indexing="ij"), axis=-1).reshape(-1, len(axes))
        low, high = loads.min(axis=0), loads.max(axis=0)
        above = np.where(low == high, np.nextafter(high.astype(np.float32), np.float32(np.inf)), high)
        self._n_free, self._shown_free, self._lossless = 1, np.empty(0, np.float32), False
        self._width, self._n_calls = len(axes), len(self._values[self._calls])
        self.observation_space = spaces.Box(low.astype(np.float32), above.astype(np.float32))
        if options.normalised:
            loads, self.observation_space = (loads - low) / (above - low), spaces.Box(0, 1, (len(axes),))
        self._shown = np.pad(loads.astype(np.float32), ((0, 0), (0, 1)))
        self._draw_contexts = load_contexts(options.contexts, self.scenario, 1, axes)

    def _place(self, chosen: Mapping[str, Any]) -> tuple[Index, Index, Index]:
        row: Any = chosen[RULES_CONTROL]
        self._in_force = self.rules[row].copy()
        pace, calls = divmod(self.row, self._n_calls)
        return row, pace, calls

    def _met(self, shape: tuple[int, ...]) -> Info:
        """Return the load as it is before anything is chosen, and 0 for the rules."""
        pace, calls = divmod(self.row, self._n_calls)
        load = {self._pace: self._values[self._pace][pace], self._calls: self._values[self._calls][calls]}
        return {"rules": np.zeros((*shape, self.rules.shape[1])), **load}

    def _rules_met(self, rows: NDArray[Any], seen: Observation) -> Any:
        return np.zeros((len(rows), self.rules.shape[1]))

    def oracle_on(self, mesh: IndexedMesh) -> RuleOracle:
        """Return who knows every reward, by a mesh that returns what is expected."""
        return RuleOracle(self.actions, mesh, self._rewarded)

    def picture(self, copy: int) -> Picture:
        """Return the rewards under the load of a copy's last step, over the first two rules that vary.

        Each is the most that any values of the others get.
        """
        assert self.oracle is not None
        row, *load = self._last_step(copy)
        lead = load[0] * self._n_calls + load[1] if load else row
        surface = self.oracle.surfaces(np.array([lead]))[0]
        axes = dict(list(self.actions.values.items())[:2])
        chosen = [int(index) for index in np.unravel_index(row, self.actions.counts)[:2]] if load else []
        if len(axes) == 1:  # a line, as a surface of one row
            axes, surface, chosen = {"": ("",), **axes}, surface[None], [0, *chosen] if chosen else []
        most = surface.max(axis=tuple(range(2, surface.ndim)))
        return Picture(self._load_text(lead), axes, most, chosen)

    def met_text(self) -> str:
        """Return in words the load of the next step."""
        return self._load_text(int(np.ravel(self.row)[0]))

    def _load_text(self, lead: int) -> str:
        values = self.scenario.actions
        pace, calls = divmod(lead, self._n_calls)
        return f"{self._pace} {values[self._pace][pace]}, {self._calls} {values[self._calls][calls]}"

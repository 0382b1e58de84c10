"""Action and observation spaces of a scenario, and what an action means in real units."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.scenarios import Scenario
from meshgym.types import LOAD_NAMES

IntArray = NDArray[Any]  # of any integer type

#: Types that equal whole numbers for sure; 1.0 would, too.
_WHOLE = frozenset({int, np.int64, np.int32})
#: What an agent may control of a closed loop; see :func:`controls_of`.
CONTROLS: tuple[str, ...] = (*LOAD_NAMES, "both")


def controls_of(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Return the load fields that an agent chooses under each ``control``; the other is part of the context."""
    return {**{name: (name,) for name in scenario.load_names}, "both": scenario.load_names}


class Actions:
    """The actions of a scenario under one control (paper, Table 6).

    Args:
        scenario: its ``actions`` are the values to choose from.
        control: ``"threads"`` (of an open loop, ``"rate_per_s"``), ``"calls"`` or ``"both"``.
        flat: whether both fields are chosen by one whole number, ``pace * n_calls + calls``, for learners that know
            ``Discrete`` only.

    Attributes:
        names: the controlled load fields.
        free: the load field that isn't controlled; None under ``"both"``.
        values: the values of both load fields, by name.
        spaces: a ``Discrete`` space for each controlled field, by name.
        space: ``Discrete`` for one controlled field, ``MultiDiscrete([threads, calls])`` for both, or ``Discrete`` if
            ``flat``.

    Raises:
        UnknownNameError: an unknown control.
    """

    def __init__(self, scenario: Scenario, control: str, flat: bool = False) -> None:
        controls = controls_of(scenario)
        if not isinstance(control, str) or control not in controls:
            raise UnknownNameError("control", control, controls)
        self.names = controls[control]
        self.free = next((name for name in scenario.load_names if name not in self.names), None)
        self.values = {name: scenario.actions[name] for name in scenario.load_names}
        self._sizes = {name: len(self.values[name]) for name in self.names}
        self.spaces = {name: spaces.Discrete(len(self.values[name])) for name in self.names}
        counts = [len(self.values[name]) for name in self.names]
        #: How many numbers an action stands for, if it's one that stands for two.
        self._counts = counts if flat and len(counts) > 1 else None
        self.space: spaces.Space[Any] = spaces.MultiDiscrete(counts) if len(counts) > 1 else self.spaces[self.names[0]]
        self._most = math.prod(counts)
        if self._counts:
            self.space = spaces.Discrete(self._most)
        choices = [dict(zip(self.names, index, strict=True)) for index in np.ndindex(*counts)]
        pairs = len(counts) > 1 and not flat
        #: Every action as plain numbers, and what it chooses: looked up, which is faster than checking.
        self._known: dict[Any, dict[str, int]] = dict(
            zip(np.ndindex(*counts) if pairs else range(self._most), choices, strict=True)
        )

    def choices(self, action: Any) -> dict[str, int]:
        """Return the chosen index of each controlled field.

        Raises:
            InvalidValueError: the action isn't in the space.
        """
        kind, plain = type(action), None
        if kind in _WHOLE:
            plain = action
        elif kind is np.ndarray and action.ndim == 1 and action.dtype.kind in "iu":
            plain = tuple(action.tolist())
        return self._known.get(plain) or self._checked(action)

    def _checked(self, action: Any) -> dict[str, int]:
        first = self.names[0]
        if len(self.names) == 1:
            return {first: self.choice(first, action)}
        if self._counts:
            if not isinstance(action, int | np.integer) or not 0 <= action < self._most:
                raise InvalidValueError("action", action, f"a whole number 0..{self._most - 1}")
            return dict(zip(self.names, divmod(int(action), self._counts[1]), strict=True))
        try:
            pace, calls = action.tolist() if isinstance(action, np.ndarray) else action
        except (TypeError, ValueError):
            raise InvalidValueError("action", action, f"two whole numbers: [{', '.join(self.names)}]") from None
        second = self.names[1]
        return {first: self.choice(first, pace), second: self.choice(second, calls)}

    def choice(self, name: str, index: Any) -> int:
        """Return ``index`` as an int.

        Raises:
            InvalidValueError: it isn't an index into the values of field ``name``.
        """
        try:
            whole = operator.index(index)
        except TypeError:
            whole = -1
        if 0 <= whole < self._sizes[name]:
            return whole
        raise self._refusal(name, index)

    def batch_choices(self, actions: Any, count: int) -> dict[str, IntArray]:
        """Return the chosen indices of ``count`` environments, by field; see :meth:`choices`.

        Args:
            actions: shape (count,) for one controlled field, (count, 2) for both.

        Raises:
            InvalidValueError: another shape, another type than integers, or an index out of range.
        """
        actions = np.asarray(actions)
        shape = (count, *self.space.shape) if self.space.shape else (count,)
        if actions.shape != shape or actions.dtype.kind not in "iu":
            raise InvalidValueError("actions", actions, f"whole numbers of shape {shape}")
        if self._counts:
            if ((actions < 0) | (actions >= self._most)).any():
                raise InvalidValueError("actions", actions, f"whole numbers 0..{self._most - 1}")
            actions = np.stack(np.divmod(actions, self._counts[1]), axis=-1)
        columns = np.array(actions.T, dtype=np.intp, order="C", ndmin=2)  # a copy: callers may overwrite theirs
        unsigned = columns.view(np.uintp)  # negative numbers become huge: one comparison instead of two
        for name, column, index in zip(self.names, columns, unsigned, strict=True):
            if index.max() >= len(self.values[name]):
                raise self._refusal(name, int(column[index >= len(self.values[name])][0]))
        return dict(zip(self.names, columns, strict=True))

    def _refusal(self, name: str, index: object) -> InvalidValueError:
        values = self.values[name]
        return InvalidValueError(
            f"action for {name}",
            index,
            f"a whole number 0..{len(values) - 1}",
            f"It is the index into the values {', '.join(map(str, values))}.",
        )

    def decode(self, action: Any) -> dict[str, int]:
        """Return what an action chooses, in real units, e.g. ``{"calls": 400}``.

        Raises:
            InvalidValueError: the action isn't in the space.
        """
        return {name: self.values[name][index] for name, index in self.choices(action).items()}

    def encode(self, **load: int) -> int | NDArray[np.int64]:
        """Return the action that chooses these values, in real units; the inverse of :meth:`decode`.

        Raises:
            InvalidValueError: other fields than the controlled ones, or a value that no action has.
        """
        if set(load) != set(self.names):
            raise InvalidValueError("load fields", sorted(load), f"exactly {', '.join(self.names)}")
        for name, value in load.items():
            if value not in self.values[name]:
                raise InvalidValueError(name, value, f"one of {', '.join(map(str, self.values[name]))}")
        indices = [self.values[name].index(load[name]) for name in self.names]
        if self._counts:
            return indices[0] * self._counts[1] + indices[1]
        return indices[0] if len(indices) == 1 else np.array(indices)


def shown(
    scenario: Scenario, rules: NDArray[np.float64], free: str | None, normalised: bool
) -> tuple[spaces.Box, NDArray[np.float32], NDArray[np.float32]]:
    """Return what an agent sees: the rules that vary, followed by the load field that isn't controlled, if any.

    Args:
        scenario: has the ranges.
        rules: the grid of all rules, shape (rows, rules).
        free: name of that load field; None if there is none.
        normalised: whether everything is shown from 0 to 1.

    Returns:
        The space; the grid with an empty column at the end, shape (rows, rules + 1); the values of the load field.
    """
    space = observation_space(scenario, free)
    values = np.array(scenario.actions[free] if free else (), dtype=np.float64)
    if normalised:
        width = rules.shape[1]
        low, spread = space.low.astype(np.float64), (space.high - space.low).astype(np.float64)
        rules = ((rules - low[:width]) / spread[:width]).clip(0, 1)
        values = ((values - low[-1]) / spread[-1]).clip(0, 1)
        space = spaces.Box(0, 1, space.shape)
    return space, np.pad(rules.astype(np.float32), ((0, 0), (0, 1))), values.astype(np.float32)


def observation_space(scenario: Scenario, shown: str | None) -> spaces.Box:
    """Return the space of the rules that vary in real units, followed by the load field ``shown``, if any.

    The bounds are the scenario's ranges. If a rule has a single value, its upper bound is the next float32, because
    Gymnasium and PettingZoo warn about equal bounds (and scaling by their distance would divide by zero).
    """
    bounds = [(span.low, span.values[-1]) for span in scenario.rules.values()]
    if shown:
        bounds.append((scenario.actions[shown][0], scenario.actions[shown][-1]))
    low, high = np.array(bounds, dtype=np.float32).T
    above = np.where(low == high, np.nextafter(high, np.float32(np.inf)), high)
    return spaces.Box(low, above)

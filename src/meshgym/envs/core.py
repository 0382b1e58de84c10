"""The one step that all environments share: a contextual bandit over traffic rules and load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshgym.envs.contexts import Contexts, load_contexts
from meshgym.envs.spaces import Actions, observation_space
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.fields import OUTCOMES
from meshgym.mesh.base import Index, Mesh
from meshgym.rewards import Reward, apply_reward, further_needs, load_reward
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import SimulatedMesh, Simulator, simulator_for
from meshgym.types import RESPONSE_NAMES

Observation = NDArray[np.float32]
Info = dict[str, Any]

#: Every outcome that a mesh tells.
ALL = "all"
#: What a single agent controls. Several agents control both.
DEFAULT_CONTROL = "calls"
DEFAULT_REWARD = "worst_case"
DEFAULT_CONTEXTS = "uniform"
#: Contexts drawn at once. A seed's sequence depends on it, so it is the same for one environment and for many.
_BLOCK = 1024
#: Copies whose blocks are transposed together, because they fit into the cache: from one row per copy to one per step.
_TILE = 16
#: Environments in one batch.
_MOST = 1_000_000


class Core:
    """One service in one copy, or in many copies that step together.

    A step sends the chosen load under the current context's rules, computes the reward of the response, and moves to
    the next context. Every array it returns is new.

    Args:
        scenario: the rules and actions.
        control: what the agent chooses, see :data:`meshgym.envs.spaces.CONTROLS`.
        mesh: receives the load, by index; see :meth:`meshgym.mesh.base.Mesh.on_grid`.
        reward: see :func:`meshgym.rewards.load_reward`.
        contexts: see :func:`meshgym.envs.contexts.load_contexts`.
        copies: how many step together; None for a single one, whose choices and responses are plain numbers.
        flat: see :class:`meshgym.envs.spaces.Actions`.
        outcomes: further outcomes in the info of a step, by name.

    Attributes:
        actions: the action space, and what an action means.
        observation_space: of one copy.
        rules: the grid of all rules, shape (rows, rules).
        row: the row of that grid that holds in the next step.
        generators: one per copy; empty before the first reset.
        played: row, pace and calls (indices) of the last step; None after a reset.
    """

    def __init__(
        self,
        scenario: Scenario,
        control: str,
        mesh: Mesh,
        reward: str | Reward,
        contexts: str | ArrayLike,
        copies: int | None = None,
        flat: bool = False,
        outcomes: Sequence[str] = (),
    ) -> None:
        check_names("outcome", outcomes, tuple(OUTCOMES)[len(RESPONSE_NAMES) :])
        self._outcomes = tuple(outcomes)
        self.scenario = scenario
        self.actions = Actions(scenario, control, flat)
        self.observation_space = observation_space(scenario, self.actions.free)
        self.reward = load_reward(reward)
        self._plain = not further_needs(self.reward)
        self.copies = copies
        self._mesh = mesh.on_grid(scenario, further=bool(self._outcomes) or not self._plain)
        self.rules = self._mesh.rules
        self._values: dict[str, Any] = {
            name: values if copies is None else np.array(values) for name, values in self.actions.values.items()
        }
        self._pace, self._calls = scenario.load_names
        self._n_free = len(self.actions.values[self.actions.free]) if self.actions.free else 1
        # Observations without the free load field, if any; eight columns for many copies, see _see_many.
        room = int(self.actions.free is not None or copies is not None)
        self._shown = np.pad(self.rules.astype(np.float32), ((0, 0), (0, room)))
        self._lossless = bool((self._shown[:, : self.rules.shape[1]] == self.rules).all())
        self._draw_contexts = load_contexts(contexts, scenario, self._n_free)
        self.generators: Sequence[np.random.Generator] = ()
        self.played: tuple[Index, Index, Index] | None = None

    def reset(self, generators: Sequence[np.random.Generator] | None = None) -> Observation:
        """Begin an episode at the next context.

        Args:
            generators: one per copy, to begin a new sequence of contexts; None to continue the current one.

        Returns:
            The observation, shape (width,) or (copies, width).
        """
        if generators is not None:
            self.generators = generators
            self._draw(None)
        self.played = None
        return self._advance()

    def step(self, chosen: Mapping[str, Index]) -> tuple[Observation, Any, Info]:
        """Send the chosen load under the current rules.

        Args:
            chosen: index of the chosen value of each controlled load field, by name; the context decides the others.

        Returns:
            The next observation, the reward, and the info of the step: ``rules`` (in the order of
            the scenario's ``rule_names``), both load fields in real units, and the outcomes of the response.

        Raises:
            InvalidValueError: there was no reset yet.
        """
        if not self.generators:
            raise InvalidValueError("step()", "before reset()", "a running episode", "Call reset() first.")
        pace_name, calls_name, values = self._pace, self._calls, self._values
        pace, calls = chosen.get(pace_name, self._free), chosen.get(calls_name, self._free)
        response = self._mesh.measure(self.row, pace, calls)
        qps, p200, p503, qps_std, p503_std, outside, further = response
        reward = self.reward(qps, p200, p503) if self._plain else apply_reward(self.reward, response)
        info = {
            "rules": self._in_force,
            pace_name: values[pace_name][pace],
            calls_name: values[calls_name][calls],
            "qps": qps,
            "p200": p200,
            "p503": p503,
            "qps_std": qps_std,
            "p503_std": p503_std,
            "outside": outside,
        }
        if self._outcomes:
            info |= self._told(further or {}, qps)
        self.played = (self.row, pace, calls)
        return self._advance(), reward, info

    def _told(self, further: Mapping[str, Any], like: Any) -> Info:
        """Return the outcomes that were asked for; NaN where the mesh doesn't tell one."""
        return {name: further[name] if name in further else like * np.nan for name in self._outcomes}

    def surface(self, row: int) -> NDArray[np.float64]:
        """Return the reward of every action under row ``row`` of the rules grid, shape (n_paces, n_calls)."""
        pace, calls = np.indices([len(values) for values in self.actions.values.values()])
        response = self._mesh.measure(np.full_like(pace, row), pace, calls)
        rewards: NDArray[np.float64] = apply_reward(self.reward, response)
        return rewards

    def _draw(self, previous: Contexts | None) -> None:
        """Draw the next block of contexts; each copy has a generator of its own."""
        block = np.empty((_BLOCK, len(self.generators)), dtype=np.int32)
        for start in range(0, len(self.generators), _TILE):
            tile = slice(start, start + _TILE)
            last = None if previous is None else previous[tile]
            block[:, tile] = self._draw_contexts(self.generators[tile], last, _BLOCK).T
        self._last = block[-1]
        self._block: Any = block[:, 0].tolist() if self.copies is None else block
        self._clock = 0

    def _advance(self) -> Observation:
        """Move to the next context and observe it."""
        if self._clock == _BLOCK:
            self._draw(self._last)
        context = self._block[self._clock]
        self._clock += 1
        if self.copies is not None:
            context = context.astype(np.intp)
        self.row = context // self._n_free
        self._free = context - self.row * self._n_free
        self._in_force, observation = self._see_one() if self.copies is None else self._see_many()
        if self.actions.free is not None:
            observation[..., -1] = self._values[self.actions.free][self._free]
        return observation

    def _see_one(self) -> tuple[NDArray[np.float64], Observation]:
        """Return the current rules, and the observation without a value for the free load field."""
        return self.rules[self.row].copy(), self._shown[self.row].copy()

    def _see_many(self) -> tuple[NDArray[np.float64], Observation]:
        """Return the same for all copies.

        NumPy gathers rows of 32 bytes fastest, so the rules are converted from those whenever float32 holds them.
        """
        shown = self._shown.take(self.row, axis=0)
        rules = shown.astype(np.float64)[:, :-1] if self._lossless else self.rules.take(self.row, axis=0)
        return rules, shown if self.actions.free else shown[:, :-1]


def simulated_core(
    scenario: str | Path | Scenario,
    control: str,
    simulator: str | Path | Simulator | None,
    reward: str | Reward,
    contexts: str | ArrayLike,
    copies: int | None = None,
    flat: bool = False,
    outcomes: str | Sequence[str] = (),
) -> Core:
    """Make a core over a simulator; None stands for the one that is bundled for the scenario. See :class:`Core`.

    Raises:
        UnknownNameError: an outcome that the simulator doesn't predict.
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """
    scenario = load_scenario(scenario)
    chosen = simulator_for(scenario, simulator)
    outcomes = chosen.further if outcomes == ALL else outcomes
    check_names("outcome of the simulator", outcomes, chosen.further)
    check_names("outcome of the simulator", further_needs(load_reward(reward)), chosen.further)
    return Core(scenario, control, SimulatedMesh(chosen), reward, contexts, copies, flat, outcomes)


def check_names(what: str, names: object, known: Sequence[str]) -> None:
    """Check that names are among those that are known.

    Raises:
        InvalidValueError: not a list of names.
        UnknownNameError: another name.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidValueError(f"{what}s", names, f"a list of names, or {ALL!r}")
    for name in names:
        if name not in known:
            raise UnknownNameError(what, name, known)


def check_count(name: str, value: object) -> int:
    """Return ``value`` as an int.

    Raises:
        InvalidValueError: it isn't a whole number 1..1000000; a million environments take some gigabytes.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= _MOST:
        raise InvalidValueError(name, value, f"a whole number 1..{_MOST}")
    return int(value)


def refuse_options(options: Mapping[str, Any] | None, ignored: frozenset[str] = frozenset()) -> None:
    """Raise if reset options were given, because no environment has any.

    Raises:
        InvalidValueError: an option that isn't in ``ignored``.
    """
    if options and not set(options) <= ignored:
        raise InvalidValueError("reset options", list(options), "none", "Arguments go to the constructor.")

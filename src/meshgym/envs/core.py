"""The one step that all environments share: a contextual bandit over traffic rules and load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshgym.envs.contexts import Contexts, load_contexts
from meshgym.envs.options import Options, check_names
from meshgym.envs.oracle import Oracle
from meshgym.envs.picture import Picture, rules_text
from meshgym.envs.spaces import Actions, shown
from meshgym.errors import InvalidValueError
from meshgym.fields import OUTCOMES
from meshgym.mesh.base import Index, IndexedMesh, Mesh
from meshgym.rewards import apply_reward, further_needs, load_reward, takes_run
from meshgym.scenarios import Scenario
from meshgym.types import RESPONSE_NAMES, Response

Observation = NDArray[np.float32]
IntArray = NDArray[np.int64]
Info = dict[str, Any]

#: Contexts drawn at once. A seed's sequence depends on it, so it is the same for one environment and for many.
_BLOCK = 1024
#: Copies whose blocks are transposed together, because they fit into the cache: from one row per copy to one per step.
_TILE = 16
#: What an info has of each response, and of regret.
_TOLD, _REGRET = ("qps", "p200", "p503", "qps_std", "p503_std"), ("oracle_reward", "regret")


class Core:
    """One service in one copy, or in many copies that step together.

    A step sends the chosen load under the current context's rules, computes the reward of the response, and moves to
    the next context. Every array it returns is new.

    Args:
        scenario: the rules and actions.
        mesh: receives the load, by index; see :meth:`meshgym.mesh.base.Mesh.on_grid`.
        options: what is shown, chosen and rewarded.
        copies: how many step together; None for a single one, whose choices are plain numbers.

    Attributes:
        actions: the action space, and what an action means.
        observation_space: of one copy.
        rules: the grid of all rules, shape (rows, rules).
        row: the row of that grid that holds in the next step; for a defender, the load that does.
        generators: one per copy; empty before the first reset.
        played: row, pace and calls (indices) of the last step; None after a reset.
        oracle: knows the expected reward of every action; None on a live mesh, where nobody does.
    """

    def __init__(self, scenario: Scenario, mesh: Mesh, options: Options, copies: int | None = None) -> None:
        check_names("outcome", options.outcomes, tuple(OUTCOMES)[len(RESPONSE_NAMES) :])
        self._outcomes = tuple(options.outcomes)
        self.scenario = scenario
        self.actions = self._actions(options)
        self.reward = load_reward(options.reward)
        self._takes_run = takes_run(self.reward)
        self._plain = not (self._takes_run or further_needs(self.reward))
        self.copies = copies
        self._mesh = mesh.on_grid(scenario, further=bool(self._outcomes) or not self._plain)
        self.rules = self._mesh.rules
        values = {name: np.array(values) for name, values in scenario.actions.items()}
        self._values: dict[str, Any] = values if copies is not None else {n: tuple(v) for n, v in values.items()}
        self._pace, self._calls = scenario.load_names
        self._open_contexts(options)
        self._with_regret = options.regret
        self.oracle = None if mesh.live else self.oracle_on(self._mesh.expected)
        self.generators: Sequence[np.random.Generator] = ()
        self.played: tuple[Index, Index, Index] | None = None

    def _actions(self, options: Options) -> Any:
        """Return what an agent chooses."""
        return Actions(self.scenario, options.control, options.flat)

    def _open_contexts(self, options: Options) -> None:
        """Find what an agent sees, and what draws it.

        A context is a whole number: ``row * n_free`` and the index of the load field that isn't controlled, if any.
        """
        free = self.actions.free
        self._n_free = len(self._values[free]) if free else 1
        self.observation_space, self._shown, self._shown_free = shown(
            self.scenario, self.rules, free, options.normalised
        )
        self._width = self.observation_space.shape[0]
        self._lossless = bool((self._shown[:, : self.rules.shape[1]] == self.rules).all())
        self._draw_contexts = load_contexts(options.contexts, self.scenario, self._n_free)

    def _place(self, chosen: Mapping[str, Any]) -> tuple[Index, Index, Index]:
        """Return rows of the rules grid, paces and calls (indices) of a context and a choice."""
        return self.row, chosen.get(self._pace, self._free), chosen.get(self._calls, self._free)

    def reset(self, generators: Sequence[np.random.Generator] | None = None) -> tuple[Observation, Info]:
        """Begin an episode at the next context.

        Args:
            generators: one per copy, to begin a new sequence of contexts; None to continue the current one.

        Returns:
            The observation, shape (width,) or (copies, width), and an info with the keys of a step: the rules in force,
            and 0 for load and response, since nothing was sent.
        """
        if generators is not None:
            self.generators = generators
            self._draw(None)
            self._mesh.seed(generators)
        self.played = None
        observation = self._advance()
        shape = () if self.copies is None else (self.copies,)
        names = (*_TOLD, *self._outcomes, *(_REGRET if self._with_regret else ()))
        nothing = {name: np.zeros(shape)[()] for name in names}  # not NaN, which no checker calls equal to itself
        return observation, {**self._met(shape), **nothing, "outside": np.zeros(shape, bool)}

    def _met(self, shape: tuple[int, ...]) -> Info:
        """Return the setting as it is before anything is chosen: the rules in force, and 0 for the load."""
        load = {name: np.zeros(shape, np.int64)[()] for name in (self._pace, self._calls)}
        return {"rules": self._in_force.copy(), **load}

    def step(self, chosen: Mapping[str, Index]) -> tuple[Observation, Any, Info]:
        """Send the chosen load under the current rules.

        Args:
            chosen: index of the chosen value of each controlled load field, by name; the context decides the others.

        Returns:
            The next observation, the reward, and the info of the step, in NumPy's numbers: ``rules`` (in the order of
            the scenario's ``rule_names``), both load fields in real units, and the outcomes of the response.

        Raises:
            InvalidValueError: there was no reset yet.
        """
        if not self.generators:
            raise InvalidValueError("step()", "before reset()", "a running episode", "Call reset() first.")
        pace_name, calls_name, values = self._pace, self._calls, self._values
        self.played = row, pace, calls = self._place(chosen)
        response = self._mesh.measure(row, pace, calls)
        qps, p200, p503, qps_std, p503_std, outside, further = response
        reward = self.reward(qps, p200, p503) if self._plain else self._rewarded(response, row, pace, calls)
        if self.copies is None:
            qps, p200, p503, qps_std, p503_std = map(np.float64, (qps, p200, p503, qps_std, p503_std))
            outside = np.array(outside)  # Gymnasium stacks arrays and numbers, but not NumPy's truth values
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
        if self._with_regret:
            info |= self._regret(row, pace, calls)
        return self._advance(), reward, info

    def _told(self, further: Mapping[str, Any], like: Any) -> Info:
        """Return the outcomes that were asked for; NaN where the mesh doesn't tell one."""
        told = {name: further[name] if name in further else like * np.nan for name in self._outcomes}
        return told if self.copies is not None else {name: np.float64(value) for name, value in told.items()}

    def _rewarded(self, response: Response, row: Index, pace: Index, calls: Index) -> Any:
        """Return the rewards of a response to entries of the grid; of arrays, whatever their shape."""
        settings = None
        if self._takes_run:
            load = [np.take(values, index) for values, index in zip(self._values.values(), (pace, calls), strict=True)]
            settings = np.concatenate([self.rules[row], np.stack(load, axis=-1)], axis=-1)
        return apply_reward(self.reward, response, settings, self.scenario.setting_names)

    def oracle_on(self, mesh: IndexedMesh) -> Oracle:
        """Return who knows every reward, by a mesh that returns what is expected."""
        return Oracle(self.actions, mesh, self._rewarded)

    def _regret(self, row: Index, pace: Index, calls: Index) -> Info:
        lead, free = np.atleast_1d(self.row), np.atleast_1d(self._free)
        row, pace, calls = (np.atleast_1d(index) for index in (row, pace, calls))
        assert self.oracle is not None
        best = self.oracle.best(lead, free)
        found = dict(zip(_REGRET, (best, best - self.oracle.expected(row, pace, calls)), strict=True))
        return found if self.copies is not None else {name: values[0] for name, values in found.items()}

    def picture(self, copy: int) -> Picture:
        """Return the rewards under the rules of a copy's last step, or under those in force if there was none yet."""
        row, *chosen = self._last_step(copy)
        assert self.oracle is not None
        surface = self.oracle.surfaces(np.array([row]))[0]
        return Picture(rules_text(self.scenario, self.rules[row]), dict(self.scenario.actions), surface, chosen)

    def met_text(self) -> str:
        """Return in words what holds in the next step and can't be chosen."""
        return rules_text(self.scenario, self.rules[self.row])

    def _last_step(self, copy: int) -> list[int]:
        """Return the indices of a copy's last step, or only the row that holds now."""
        return [int(np.ravel(index)[copy]) for index in self.played or (self.row,)]

    def surface(self, observation: ArrayLike | None) -> NDArray[np.float64]:
        """Return the expected reward of every choice in a context, as of :meth:`context_of`; one axis per field."""
        assert self.oracle is not None
        found: NDArray[np.float64] = self.oracle.surfaces(np.array([self.context_of(observation)[0]]))[0]
        return found

    def reward_table(self, rows: ArrayLike | None, most: int, seed: int) -> tuple[Observation, NDArray[np.float64]]:
        """Return observations of many contexts and the expected reward of every action in each of them.

        Args:
            rows: of the grid of rules (for a defender, of loads); None for all.
            most: how many contexts; of more, so many are drawn.
            seed: of the draw.

        Returns:
            Shape (n, width) and (n, actions).
        """
        leads = np.arange(len(self._shown)) if rows is None else np.asarray(rows, dtype=np.int64)
        contexts = np.add.outer(leads * self._n_free, np.arange(self._n_free)).ravel()
        if len(contexts) > most:
            contexts = np.sort(np.random.default_rng(seed).choice(contexts, most, replace=False))
        lead, free = np.divmod(contexts, self._n_free)
        assert self.oracle is not None
        return self._seen(lead, free)[:, : self._width], self.oracle.choices(lead, free)

    def context_of(self, observation: ArrayLike | None) -> tuple[int, int]:
        """Return the row of the rules grid, and the index of the load field that isn't controlled, of an observation.

        Args:
            observation: as the environment shows it; without its last number if that field doesn't matter. None for the
                context of the next step.

        Raises:
            InvalidValueError: there is no such context, or there was no reset yet.
        """
        if observation is None:
            if not self.generators:
                raise InvalidValueError("context", "none, before reset()", "an observation", "Or call reset() first.")
            return int(np.ravel(self.row)[0]), int(np.ravel(self._free)[0])
        seen, width = np.asarray(observation, np.float32).ravel(), self._shown.shape[1] - 1
        rows, free = np.empty(0, np.int64), np.zeros(1, np.int64)
        if width <= len(seen) <= self.observation_space.shape[0]:
            rows = np.flatnonzero((self._shown[:, :width] == seen[:width]).all(axis=1))
            free = np.flatnonzero(self._shown_free == seen[width]) if len(seen) > width else free
        if not len(rows) or not len(free):
            raise InvalidValueError("context", seen.tolist(), "an observation of this environment")
        return int(rows[0]), int(free[0])

    def _draw(self, previous: Contexts | None) -> None:
        """Draw the next block of contexts; each copy has a generator of its own."""
        block = np.empty((_BLOCK, len(self.generators)), dtype=np.int32)
        for start in range(0, len(self.generators), _TILE):
            tile = slice(start, start + _TILE)
            last = None if previous is None else previous[tile]
            block[:, tile] = self._draw_contexts(self.generators[tile], last, _BLOCK).T
        self._last = block[-1]
        self._block = block if self.copies is not None else self._prepared(block[:, 0])
        self._clock = 0

    def _prepared(self, contexts: NDArray[np.int32]) -> Any:
        """Return row, free load field, rules and observation of each context, so that a step only hands them out."""
        rows, frees = np.divmod(contexts, self._n_free)
        seen = self._seen(rows, frees)
        met = self._rules_met(rows, seen)
        return list(zip(rows.tolist(), frees.tolist(), met, seen[:, : self._width], strict=True))

    def _advance(self) -> Any:
        """Move to the next context and observe it."""
        if self._clock == _BLOCK:
            self._draw(self._last)
        context = self._block[self._clock]
        self._clock += 1
        if self.copies is None:
            self.row, self._free, self._in_force, observation = context
            return observation
        context = context.astype(np.intp)
        self.row = context // self._n_free
        self._free = context - self.row * self._n_free
        seen = self._seen(self.row, self._free)
        self._in_force = self._rules_met(self.row, seen)
        return seen[:, : self._width]

    def _rules_met(self, rows: NDArray[Any], seen: Observation) -> NDArray[np.float64]:
        """Return the rules in force in several contexts.

        NumPy gathers rows of 32 bytes fastest, so the rules are converted from those whenever float32 holds them.
        """
        return seen.astype(np.float64)[:, :-1] if self._lossless else self.rules.take(rows, axis=0)

    def _seen(self, rows: NDArray[Any], frees: NDArray[Any]) -> Observation:
        """Return the observations of several contexts, with a last column even if no load field is free."""
        seen: Observation = self._shown.take(rows, axis=0)
        if self.actions.free:
            seen[:, -1] = self._shown_free[frees]
        return seen

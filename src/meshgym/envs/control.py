"""The step of control over time: rules for the next interval, under a load that changes, on a mesh that remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from meshgym.envs.core import Info, Observation
from meshgym.envs.defence import RuleActions
from meshgym.envs.options import RULES_CONTROL
from meshgym.errors import InvalidValueError
from meshgym.mesh.sequences import COUNTED, SHARES, Sequences
from meshgym.processes import Process, draw_rates, load_process
from meshgym.rewards import Reward, apply_reward, load_reward
from meshgym.scenarios import Scenario
from meshgym.service.own import OwnService

#: What a change of rules costs, in the reward's unit.
CHANGE_COST = 2.0
#: Of a scenario that doesn't say how many replicas there are.
_MOST_REPLICAS = 64


@dataclass(frozen=True)
class ControlOptions:
    """What an environment of control shows, asks for and rewards.

    Attributes:
        process: how the load goes up and down, see :func:`meshgym.processes.load_process`.
        reward: of an interval, see :func:`meshgym.rewards.load_reward`.
        change_cost: taken off the reward of an interval with other rules than the one before, 0 and above.
        flat, continuous: form of the actions, see :class:`meshgym.envs.defence.RuleActions`.
    """

    process: str | Path | Process = "mixed"
    reward: str | Reward = "best_case"
    change_cost: float = CHANGE_COST
    flat: bool = False
    continuous: bool = False


class ControlCore:
    """One service in one copy, or in many that step together; the counterpart of :class:`meshgym.envs.core.Core`.

    A step puts the chosen rules in force for an interval and sends its load, which the agent doesn't know beforehand.

    Args:
        sequences: the service, over a simulator or live.
        options: what is shown, chosen and rewarded.
        copies: how many step together; None for a single one.

    Attributes:
        actions: the action space, and what an action means.
        observation_space: of one copy.
        seen: names of what an observation shows.
        generators: one per copy; empty before the first reset.
        oracle: None, as nobody knows the best action.

    Raises:
        InvalidValueError: a cost below 0.
    """

    oracle = None

    def __init__(self, sequences: Sequences, options: ControlOptions, copies: int | None = None) -> None:
        cost = options.change_cost
        if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < np.inf:
            raise InvalidValueError("change_cost", cost, "a number, 0 and above")
        self.sequences, self.copies, self._cost = sequences, copies, float(cost)
        self.scenario = scenario = sequences.scenario
        self.actions = RuleActions(scenario, options.flat, options.continuous)
        self._process, self._reward = load_process(options.process), load_reward(options.reward)
        self._grid, self._span = scenario.rule_grid(), scenario.load["rate_per_s"]
        self._varies = [scenario.rule_names.index(name) for name in self.actions.names]
        self._count = copies or 1
        bounds = [(scenario.rules[name].low, scenario.rules[name].values[-1]) for name in self.actions.names]
        bounds += [(0.0, self._span.high)] * 2 + [(0.0, 1.0)] * len(SHARES) + [(0.0, float(_replicas(scenario)))]
        self.seen = (*self.actions.names, "rate_per_s", "rate_before", *SHARES, "ejected")
        self.observation_space = spaces.Box(*np.array(bounds, np.float32).T)
        self.generators: Sequence[np.random.Generator] = ()

    def reset(self, generators: Sequence[np.random.Generator] | None = None) -> tuple[Observation, Info]:
        """Begin an episode: nothing is ejected or connected, and no load was sent.

        Args:
            generators: one per copy, to begin new loads and draws; None to go on with those there are.

        Returns:
            The observation, shape (width,) or (copies, width), and an info with the keys of a step's.
        """
        if generators is not None:
            self.generators = generators
            self.sequences.seed(generators)
        self.sequences.begin()
        self._rates = self._draw()
        self._interval, self._sent = 0, np.zeros((2, self._count))
        self._row = np.full(self._count, len(self._grid) // 2)
        zeros = np.zeros(self._count)
        nothing = dict.fromkeys(("qps", "p200", "p503", *SHARES, *COUNTED), zeros)
        off = np.zeros(self._count, bool)
        return self._observe(nothing), self._info(nothing, zeros, off, off)

    def step(self, chosen: Mapping[str, Any]) -> tuple[Observation, Any, Info]:
        """Put rules in force and send the next interval's load.

        Args:
            chosen: row of the rules grid of each copy, as ``{"rules": row}``.

        Returns:
            The next observation, the reward, and the info of the interval.

        Raises:
            InvalidValueError: there was no reset yet.
            MeshError: the run failed; a live sequence can't go on then.
        """
        if not self.generators:
            raise InvalidValueError("step()", "before reset()", "a running episode", "Call reset() first.")
        row = np.atleast_1d(chosen[RULES_CONTROL])
        changed = (row != self._row) & (self._interval > 0)
        if self._interval and self._interval % self._rates.shape[1] == 0:
            self._rates = self._draw()
        rate = self._rates[:, self._interval % self._rates.shape[1]]
        calls = np.rint(rate * self.sequences.control.interval_s)
        settings = np.column_stack([self._grid[row], rate, calls])
        response = self.sequences.measure(settings)
        self._row, self._interval = row, self._interval + 1
        self._sent = np.stack([rate, self._sent[0]])
        told = {"qps": response.qps, "p200": response.p200, "p503": response.p503, **(response.details or {})}
        gained = apply_reward(self._reward, response, settings, self.scenario.setting_names)
        reward = gained - self._cost * changed
        info = self._info(told, calls, changed, np.asarray(response.outside))
        return self._observe(told), reward if self.copies else reward[0], info

    def _draw(self) -> NDArray[np.float64]:
        """Draw the loads of an episode, shape (copies, intervals)."""
        intervals = self.sequences.control.intervals
        return np.stack([draw_rates(self._process, one, intervals, self._span) for one in self.generators])

    def _observe(self, told: Mapping[str, Any]) -> Observation:
        rules = self._grid[self._row][:, self._varies]
        columns = [rules, *self._sent, *(told[name] for name in (*SHARES, "ejected"))]
        seen = np.column_stack(columns).astype(np.float32)
        seen = np.minimum(seen, self.observation_space.high)  # a mesh may count more replicas than it should have
        return seen if self.copies else seen[0]

    def _info(self, told: Mapping[str, Any], calls: Any, changed: Any, outside: Any) -> Info:
        info = {
            "rules": self._grid[self._row],
            "rate_per_s": self._sent[0].copy(),
            "calls": calls.astype(np.int64),
            **{name: np.array(told[name], np.float64) for name in ("qps", "p200", "p503", *SHARES, *COUNTED)},
            "changed": changed,
            "outside": np.broadcast_to(outside, self._count).copy(),
        }
        # Gymnasium stacks arrays and numbers, but not NumPy's truth values.
        return info if self.copies else {name: _single(value[0]) for name, value in info.items()}


def _single(value: Any) -> Any:
    return np.array(value) if isinstance(value, np.bool_) else value


def _replicas(scenario: Scenario) -> int:
    """Return how many replicas may be ejected."""
    service = scenario.service
    if service is None:
        return _MOST_REPLICAS
    return len(service.url) if isinstance(service, OwnService) else service.replicas + service.standby_replicas

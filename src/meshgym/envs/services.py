"""Several services under one clock, and their agents: what both multi-agent environments share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

from meshgym.envs.core import Info, Observation
from meshgym.envs.homogeneous import Homogeneous
from meshgym.envs.making import live_core, simulated_core
from meshgym.envs.options import CHECKERS_OPTION, Options, check_count, refuse_options
from meshgym.envs.registration import EPISODE_STEPS
from meshgym.envs.render import STILL_MODES, check_render_mode, render
from meshgym.errors import InvalidValueError
from meshgym.mesh.base import Mesh
from meshgym.rewards import share_between_services
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator

#: By default, several agents control both load fields, and share rewards with this weight.
DEFAULT_CONTROL = "both"
DEFAULT_BETA = 0.5


class ServicesEnv:
    """The cores of several services, stepped together, and an agent for each controlled load field of each.

    Args:
        services: scenarios; the same one may occur more than once.
        options: of every service's core; reward and contexts may be tuples of one per service.
        order: the order of a service's agents; None for the pace before the calls.
        simulators: one per service; None for the bundled ones.
        meshes: one per service, to send real traffic instead; None to simulate.
        sample: whether simulated responses are drawn.
        beta: weight of the mean over services in each service's reward (paper, Eq. 8), 0 and above. A single service
            shares nothing: its reward is its own.
        homogeneous: whether all agents have the same spaces, see :class:`Homogeneous`.
        copies: how many step together; None for a single one.
        max_episode_steps: steps of an episode, at least 1.
        render_mode: ``"ansi"``, ``"rgb_array"`` or None.

    Attributes:
        possible_agents: ``threads_0``, ``calls_0``, ``threads_1``, ...
        agents: those of the running episode; empty outside an episode.
        state_space: of :meth:`state`.

    Raises:
        InvalidValueError: no service, another number of simulators, meshes, rewards or contexts, both simulators and
            meshes, an order that isn't one of the controlled fields of all services, a negative ``beta``, or no steps.
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """

    def __init__(
        self,
        services: Sequence[str | Path | Scenario],
        options: Options,
        order: Sequence[str] | None = None,
        simulators: Sequence[str | Path | Simulator] | None = None,
        meshes: Sequence[Mesh] | None = None,
        sample: bool = False,
        beta: float = DEFAULT_BETA,
        homogeneous: bool = False,
        copies: int | None = None,
        max_episode_steps: int = EPISODE_STEPS,
        render_mode: str | None = None,
    ) -> None:
        if isinstance(services, str) or not isinstance(services, Sequence) or not services:
            raise InvalidValueError("services", services, "a list of at least one scenario")
        if not 0 <= beta < np.inf:
            raise InvalidValueError("beta", beta, "a finite number, 0 and above")
        if meshes is not None and (simulators is not None or sample):
            raise InvalidValueError("meshes", meshes, "none together with simulators or sample")
        count = len(services)
        self._cores = [
            simulated_core(scenario, simulator, own, copies, sample)
            if mesh is None
            else live_core(scenario, mesh, own, copies)
            for scenario, simulator, mesh, own in zip(
                services,
                _each("simulators", simulators, count),
                _each("meshes", meshes, count),
                _options_of_each(options, count),
                strict=True,
            )
        ]
        self.beta = beta if count > 1 else 0.0
        self.max_episode_steps = check_count("max_episode_steps", max_episode_steps)
        self.render_mode = check_render_mode(render_mode, STILL_MODES)
        self._steps = 0
        fields = [core.actions.names for core in self._cores]
        names = fields[0] if order is None else order
        for known in fields:
            if not isinstance(names, list | tuple) or sorted(map(str, names)) != sorted(known):
                raise InvalidValueError("order", names, f"{known} or {known[::-1]}, for all services")
        #: The load field that each agent chooses, and the number of its service.
        self._seats = {f"{name}_{i}": (name, i) for i in range(count) for name in names}
        self.possible_agents = list(self._seats)
        self.agents: list[str] = []
        cores = {agent: (name, self._cores[i]) for agent, (name, i) in self._seats.items()}
        self.action_spaces = {agent: core.actions.spaces[name] for agent, (name, core) in cores.items()}
        self.observation_spaces = {agent: core.observation_space for agent, (_, core) in cores.items()}
        self._alike = Homogeneous(self.action_spaces, self.observation_spaces) if homogeneous else None
        if self._alike:
            self.action_spaces = dict.fromkeys(self.possible_agents, self._alike.action_space)
            self.observation_spaces = dict.fromkeys(self.possible_agents, self._alike.observation_space)
        shown = [core.observation_space for core in self._cores]
        self.state_space = spaces.Box(
            np.concatenate([space.low for space in shown]), np.concatenate([space.high for space in shown])
        )
        self._seen: list[Observation] = []

    def observation_space(self, agent: str) -> spaces.Box:
        """Return the agent's space: the same object each time."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """Return the agent's space: the same object each time."""
        space: spaces.Discrete = self.action_spaces[agent]
        return space

    def _reset(self, seed: int | None, options: Mapping[str, Any] | None) -> tuple[list[Observation], list[Info]]:
        """Begin an episode and return one observation and info per service.

        Service i is seeded with ``seed + i``, and its further copies with the numbers that follow.

        Raises:
            InvalidValueError: an option was given.
        """
        refuse_options(options, ignored=CHECKERS_OPTION)
        self._steps = 0
        self.agents = list(self.possible_agents)
        begun = []
        for i, core in enumerate(self._cores):
            new = seed is not None or not core.generators
            seeds = [None if seed is None else seed + i + copy for copy in range(core.copies or 1)]
            begun.append(core.reset([seeding.np_random(one)[0] for one in seeds] if new else None))
        self._seen = [observation for observation, _ in begun]
        return self._seen, [info for _, info in begun]

    def _info(self, agent: str, infos: Sequence[Info]) -> Info:
        """Return an agent's own copy of its service's info, with the mask of its actions if all spaces are alike."""
        info = dict(infos[self._seats[agent][1]])
        return info | {"action_mask": self._alike.masks[agent].copy()} if self._alike else info

    def _observed(self, observations: Sequence[Observation]) -> dict[str, Observation]:
        """Return each agent's own copy of what its service shows."""
        seen = self._alike.seen if self._alike else lambda agent, observation: observation.copy()
        return {agent: seen(agent, observations[i]) for agent, (_, i) in self._seats.items()}

    def _check_actions(self, actions: Mapping[str, Any]) -> None:
        """Check that there is a running episode, and exactly one action per agent."""
        self._refuse_step_outside_episode()
        if set(actions) != set(self.agents):
            raise InvalidValueError("agents with actions", list(actions), f"exactly {', '.join(self.agents)}")

    def _choice(self, agent: str, action: Any) -> int:
        """Return an agent's action as the index of a value.

        Raises:
            InvalidValueError: it is outside the agent's space.
        """
        name, i = self._seats[agent]
        own = self._alike.own(agent, action) if self._alike else action
        chosen: int = self._cores[i].actions.choice(name, own)
        return chosen

    def _step(self, choices: Sequence[Mapping[str, Any]]) -> tuple[list[Observation], list[Any], list[Info], bool]:
        """Send one load to every service.

        Args:
            choices: for each service, the chosen index of each controlled field.

        Returns:
            Observations, shared rewards and infos, one per service, and whether the episode is truncated.
        """
        played = [core.step(choice) for core, choice in zip(self._cores, choices, strict=True)]
        observations, rewards, infos = (list(column) for column in zip(*played, strict=True))
        self._steps += 1
        self._seen = observations
        shared = share_between_services(np.stack(rewards, axis=-1).astype(np.float64), self.beta)
        truncated = self._steps >= self.max_episode_steps
        return observations, [float(one) if one.ndim == 0 else one for one in shared.T], infos, truncated

    def state(self) -> Observation:
        """Return what the agents of all services see together, shape (inputs,), or (copies, inputs).

        Raises:
            InvalidValueError: there was no reset yet.
        """
        if not self._seen:
            raise InvalidValueError("state()", "before reset()", "a running episode", "Call reset() first.")
        return np.concatenate(self._seen, axis=-1)

    def _refuse_step_outside_episode(self) -> None:
        if not self.agents:
            raise InvalidValueError("step()", "outside an episode", "a running episode", "Call reset() first.")

    def render(self) -> Any:
        """Render all services below one another, see :func:`meshgym.envs.render.render`; None without a render mode."""
        if self.render_mode is None:
            return None
        frames: list[Any] = [render(core, self.render_mode) for core in self._cores]
        return "\n\n".join(frames) if self.render_mode == "ansi" else _stacked(frames)

    def close(self) -> None:
        """Do nothing: nothing is open."""


def _each(what: str, given: Sequence[Any] | None, count: int) -> Sequence[Any]:
    if given is not None and len(given) != count:
        raise InvalidValueError(f"number of {what}", len(given), f"one per service: {count}")
    return [None] * count if given is None else given


def _options_of_each(options: Options, count: int) -> list[Options]:
    """Return the options of each service: a tuple of rewards or contexts has one for each."""
    shared = {name: getattr(options, name) for name in ("reward", "contexts")}
    each = {name: _each(name, own, count) if isinstance(own, tuple) else [own] * count for name, own in shared.items()}
    return [replace(options, **{name: own[i] for name, own in each.items()}) for i in range(count)]


def _stacked(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return images below one another, padded with black to the widest."""
    width = max(frame.shape[1] for frame in frames)
    return np.concatenate([np.pad(frame, ((0, 0), (0, width - frame.shape[1]), (0, 0))) for frame in frames])

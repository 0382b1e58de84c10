"""Several services under one clock, and their agents: what both multi-agent environments share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import ArrayLike, NDArray

from meshgym.envs.core import Info, Observation, check_count, refuse_options, simulated_core
from meshgym.envs.render import RENDER_MODES, check_render_mode, render
from meshgym.errors import InvalidValueError
from meshgym.rewards import Reward, share_between_services
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator

#: By default, several agents control both load fields, and share rewards with this weight.
DEFAULT_CONTROL = "both"
DEFAULT_BETA = 0.5
#: PettingZoo's API tests pass this reset option to every environment; it has no meaning.
_CHECKERS_OPTION = frozenset({"options"})


class ServicesEnv:
    """The cores of several services, stepped together, and an agent for each controlled load field of each.

    Args:
        services: scenarios; the same one may occur more than once.
        control: what is controlled in every service.
        order: the order of a service's agents; None for the pace before the calls.
        simulators: one per service; None for the bundled ones.
        reward, contexts: as for the single environment, the same for every service.
        beta: weight of the mean over services in each service's reward (paper, Eq. 8), 0 and above. A single service
            shares nothing: its reward is its own.
        max_episode_steps: steps of an episode, at least 1.
        render_mode: ``"ansi"``, ``"rgb_array"`` or None.

    Attributes:
        possible_agents: ``threads_0``, ``calls_0``, ``threads_1``, ...
        agents: those of the running episode; empty outside an episode.
        state_space: of :meth:`state`.

    Raises:
        InvalidValueError: no service, another number of simulators, an order that isn't one of the controlled fields of
            all services, a negative ``beta``, or no steps.
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """

    def __init__(
        self,
        services: Sequence[str | Path | Scenario],
        control: str,
        order: Sequence[str] | None,
        simulators: Sequence[str | Path | Simulator] | None,
        reward: str | Reward,
        contexts: str | ArrayLike,
        beta: float,
        max_episode_steps: int,
        render_mode: str | None,
    ) -> None:
        if isinstance(services, str) or not isinstance(services, Sequence) or not services:
            raise InvalidValueError("services", services, "a list of at least one scenario")
        if simulators is not None and len(simulators) != len(services):
            raise InvalidValueError("number of simulators", len(simulators), f"one per service: {len(services)}")
        if not 0 <= beta < np.inf:
            raise InvalidValueError("beta", beta, "a finite number, 0 and above")
        chosen = [None] * len(services) if simulators is None else simulators
        self._cores = [
            simulated_core(scenario, control, simulator, reward, contexts)
            for scenario, simulator in zip(services, chosen, strict=True)
        ]
        self.beta = beta if len(self._cores) > 1 else 0.0
        self.max_episode_steps = check_count("max_episode_steps", max_episode_steps)
        self.render_mode = check_render_mode(render_mode, RENDER_MODES)
        self._steps = 0
        fields = [core.actions.names for core in self._cores]
        names = fields[0] if order is None else order
        for known in fields:
            if not isinstance(names, list | tuple) or sorted(map(str, names)) != sorted(known):
                raise InvalidValueError("order", names, f"{known} or {known[::-1]}, for all services")
        #: The load field that each agent chooses, and the number of its service.
        self._seats = {f"{name}_{i}": (name, i) for i in range(len(self._cores)) for name in names}
        self.possible_agents = list(self._seats)
        self.agents: list[str] = []
        cores = {agent: (name, self._cores[i]) for agent, (name, i) in self._seats.items()}
        self.action_spaces = {agent: core.actions.spaces[name] for agent, (name, core) in cores.items()}
        self.observation_spaces = {agent: core.observation_space for agent, (_, core) in cores.items()}
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
        return self.action_spaces[agent]

    def _reset(self, seed: int | None, options: Mapping[str, Any] | None) -> list[Observation]:
        """Begin an episode and return one observation per service; service i is seeded with ``seed + i``.

        Raises:
            InvalidValueError: an option was given.
        """
        refuse_options(options, ignored=_CHECKERS_OPTION)
        self._steps = 0
        self.agents = list(self.possible_agents)
        observations = []
        for i, core in enumerate(self._cores):
            new = seed is not None or not core.generators
            generator = seeding.np_random(None if seed is None else seed + i)[0] if new else None
            observations.append(core.reset([generator] if generator else None))
        self._seen = observations
        return observations

    def _step(self, choices: Sequence[dict[str, int]]) -> tuple[list[Observation], list[float], list[Info], bool]:
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
        shared = share_between_services(np.array(rewards, dtype=np.float64), self.beta)
        return observations, shared.tolist(), infos, self._steps >= self.max_episode_steps

    def state(self) -> Observation:
        """Return what the agents of all services see together, service by service, shape (inputs,).

        Raises:
            InvalidValueError: there was no reset yet.
        """
        if not self._seen:
            raise InvalidValueError("state()", "before reset()", "a running episode", "Call reset() first.")
        return np.concatenate(self._seen)

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


def _stacked(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return images below one another, padded with black to the widest."""
    width = max(frame.shape[1] for frame in frames)
    return np.concatenate([np.pad(frame, ((0, 0), (0, width - frame.shape[1]), (0, 0))) for frame in frames])

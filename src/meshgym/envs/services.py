"""Several services under one clock, as the multi-agent environments need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
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

#: The load field that an agent chooses, and the number of its service.
Seat = tuple[str, int]


class Services:
    """The cores of several services, stepped together.

    Args:
        services: scenarios; the same one may occur more than once.
        control: what is controlled in every service.
        simulators: one per service; None for the bundled ones.
        reward, contexts: as for the single environment, the same for every service.
        beta: weight of the mean over services in each service's reward (paper, Eq. 8), 0 and above. A single service
            shares nothing: its reward is its own.
        max_episode_steps: steps of an episode, at least 1.
        render_mode: ``"ansi"``, ``"rgb_array"`` or None.

    Raises:
        InvalidValueError: no service, another number of simulators, a negative ``beta``, or no steps.
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """

    def __init__(
        self,
        services: Sequence[str | Path | Scenario],
        control: str,
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
        self.cores = [
            simulated_core(scenario, control, simulator, reward, contexts)
            for scenario, simulator in zip(services, chosen, strict=True)
        ]
        self.beta = beta if len(self.cores) > 1 else 0.0
        self.max_episode_steps = check_count("max_episode_steps", max_episode_steps)
        self.render_mode = check_render_mode(render_mode, RENDER_MODES)
        self._steps = 0

    def reset(self, seed: int | None, options: Mapping[str, Any] | None) -> list[Observation]:
        """Begin an episode and return one observation per service; service i is seeded with ``seed + i``.

        Raises:
            InvalidValueError: an option was given.
        """
        refuse_options(options, ignored=_CHECKERS_OPTION)
        self._steps = 0
        observations = []
        for i, core in enumerate(self.cores):
            new = seed is not None or not core.generators
            generator = seeding.np_random(None if seed is None else seed + i)[0] if new else None
            observations.append(core.reset([generator] if generator else None))
        return observations

    def step(self, choices: Sequence[dict[str, int]]) -> tuple[list[Observation], list[float], list[Info], bool]:
        """Send one load to every service.

        Args:
            choices: for each service, the chosen index of each controlled field.

        Returns:
            Observations, shared rewards and infos, one per service, and whether the episode is truncated.
        """
        played = [core.step(**choice) for core, choice in zip(self.cores, choices, strict=True)]
        observations, rewards, infos = (list(column) for column in zip(*played, strict=True))
        self._steps += 1
        shared = share_between_services(np.array(rewards, dtype=np.float64), self.beta)
        return observations, shared.tolist(), infos, self._steps >= self.max_episode_steps

    def seats(self, names: Sequence[str]) -> dict[str, Seat]:
        """Return who chooses what, service by service: ``{"threads_0": ("threads", 0), ...}``."""
        return {f"{name}_{i}": (name, i) for i in range(len(self.cores)) for name in names}

    def render(self) -> Any:
        """Render all services below one another; return None without a render mode."""
        if self.render_mode is None:
            return None
        frames: list[Any] = [render(core, self.render_mode) for core in self.cores]
        return "\n\n".join(frames) if self.render_mode == "ansi" else _stacked(frames)


def refuse_step_outside_episode(agents: Sequence[str]) -> None:
    """Check that an episode is running.

    Raises:
        InvalidValueError: there are no agents, so none is running.
    """
    if not agents:
        raise InvalidValueError("step()", "outside an episode", "a running episode", "Call reset() first.")


def _stacked(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return images below one another, padded with black to the widest."""
    width = max(frame.shape[1] for frame in frames)
    return np.concatenate([np.pad(frame, ((0, 0), (0, width - frame.shape[1]), (0, 0))) for frame in frames])

"""Many copies of one environment, stepped with one look-up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from meshgym.envs.core import (
    DEFAULT_CONTEXTS,
    DEFAULT_CONTROL,
    DEFAULT_REWARD,
    Info,
    Observation,
    check_count,
    refuse_options,
    simulated_core,
)
from meshgym.envs.registration import EPISODE_STEPS
from meshgym.envs.render import RENDER_MODES, check_render_mode, render
from meshgym.errors import InvalidValueError
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator

Flags = NDArray[np.bool_]


class MeshResilienceVectorEnv(gym.vector.VectorEnv[Observation, Any, NDArray[Any]]):
    """``num_envs`` copies of :class:`meshgym.envs.single.MeshResilienceEnv`.

    It equals a ``SyncVectorEnv`` of single environments with the same seeds to the last bit, and is many times
    faster. All copies begin together, so they are truncated together. The step after that ignores its actions and
    returns the first observations of the next episode (``AutoresetMode.NEXT_STEP``).

    Args:
        scenario, control, simulator, reward, contexts, render_mode: as for the single environment.
        num_envs: number of copies, at least 1.
        max_episode_steps: steps of an episode, at least 1.
    """

    metadata = {"render_modes": RENDER_MODES, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        scenario: str | Path | Scenario,
        control: str = DEFAULT_CONTROL,
        simulator: str | Path | Simulator | None = None,
        reward: str | Reward = DEFAULT_REWARD,
        contexts: str | ArrayLike = DEFAULT_CONTEXTS,
        num_envs: int = 1,
        max_episode_steps: int = EPISODE_STEPS,
        render_mode: str | None = None,
    ) -> None:
        self.num_envs = check_count("num_envs", num_envs)
        self.max_episode_steps = check_count("max_episode_steps", max_episode_steps)
        self._core = simulated_core(scenario, control, simulator, reward, contexts, copies=num_envs)
        self.actions = self._core.actions
        self.single_action_space = self.actions.space
        self.single_observation_space = self._core.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.render_mode = check_render_mode(render_mode, RENDER_MODES)
        self._steps = 0

    @property  # type: ignore[misc]
    def np_random(self) -> Sequence[np.random.Generator]:  # type: ignore[override]
        """One generator per copy; empty before the first reset."""
        return self._core.generators

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin an episode in every copy.

        Args:
            seed: a whole number s seeds copy i with s + i; a list has one seed per copy. Either begins new
                sequences of contexts; without a seed, the current sequences go on.
            options: not supported.

        Raises:
            InvalidValueError: an option was given, or a list of another length.
        """
        refuse_options(options)
        self._steps = 0
        if seed is None and self._core.generators:
            return self._core.reset(), {}
        return self._core.reset([seeding.np_random(one)[0] for one in self._seeds(seed)]), {}

    def step(self, actions: Any) -> tuple[Observation, NDArray[np.float64], Flags, Flags, Info]:
        """Play one action in every copy.

        Args:
            actions: shape (num_envs,) for one controlled field, (num_envs, 2) for both.

        Returns:
            Observations, rewards, terminations (never), truncations, and an info of arrays with a mask
            ``_name`` for every ``name``, as in Gymnasium's vector environments.

        Raises:
            InvalidValueError: actions outside the space, no reset before, or a reward function that isn't batched.
        """
        if self._steps == self.max_episode_steps:
            observations, _ = self.reset()
            return observations, np.zeros(self.num_envs), self._flags(False), self._flags(False), {}
        observations, rewards, info = self._core.step(**self.actions.batch_choices(actions, self.num_envs))
        rewards = np.array(rewards, dtype=np.float64)
        if rewards.shape != (self.num_envs,):
            raise InvalidValueError(
                "shape of the reward",
                rewards.shape,
                f"({self.num_envs},)",
                "It is called with arrays, one entry per copy.",
            )
        self._steps += 1
        info.update(dict.fromkeys([f"_{name}" for name in info], self._flags(True)))
        truncated = self._steps == self.max_episode_steps
        return observations, rewards, self._flags(False), self._flags(truncated), info

    def render(self) -> tuple[Any, ...] | None:
        """Render one frame per copy; return None without a render mode."""
        if not self.render_mode:
            return None
        return tuple(render(self._core, self.render_mode, copy) for copy in range(self.num_envs))

    def _seeds(self, seed: int | Sequence[int] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        if len(seeds) != self.num_envs:
            raise InvalidValueError("number of seeds", len(seeds), f"num_envs={self.num_envs}")
        return seeds

    def _flags(self, value: bool) -> Flags:
        return np.full(self.num_envs, value)

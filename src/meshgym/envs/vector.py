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

from meshgym.envs.control import ControlCore
from meshgym.envs.core import Core, Info, Observation
from meshgym.envs.making import simulated_core
from meshgym.envs.options import (
    DEFAULT_CONTEXTS,
    DEFAULT_CONTROL,
    DEFAULT_REWARD,
    Options,
    check_count,
    refuse_options,
)
from meshgym.envs.registration import EPISODE_STEPS
from meshgym.envs.render import STILL_MODES, check_render_mode, render
from meshgym.envs.single import OracleMixin
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator

Flags = NDArray[np.bool_]


class CoreVectorEnv(gym.vector.VectorEnv[Observation, Any, NDArray[Any]]):
    """A core of many copies as a Gymnasium vector environment; subclasses choose the mesh.

    All copies begin together, so they are truncated together.

    Args:
        core: of ``num_envs`` copies.
        max_episode_steps: steps of an episode, at least 1.
        render_mode: one of ``metadata["render_modes"]``, or None.
        autoreset_mode: what follows the end of an episode. ``NEXT_STEP``: the next step ignores its actions and returns
            the first observations of the next episode. ``SAME_STEP``: the last step does so already, and its info has
            ``final_obs`` and ``final_info``. ``DISABLED``: nothing, before :meth:`reset`.

    Raises:
        UnknownNameError: no such mode.
    """

    metadata = {"render_modes": STILL_MODES, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        core: Core | ControlCore,
        max_episode_steps: int,
        render_mode: str | None,
        autoreset_mode: str | AutoresetMode,
    ) -> None:
        assert core.copies is not None
        self.num_envs = core.copies
        self.max_episode_steps = check_count("max_episode_steps", max_episode_steps)
        if autoreset_mode not in (*AutoresetMode, *(mode.value for mode in AutoresetMode)):
            raise UnknownNameError("autoreset_mode", str(autoreset_mode), [mode.value for mode in AutoresetMode])
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._core: Any = core
        self.actions = core.actions
        self.single_action_space = self.actions.space
        self.single_observation_space = core.observation_space
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.render_mode = check_render_mode(render_mode, self.metadata["render_modes"])
        self._steps = 0
        self._np_random_seeds: tuple[int, ...] = ()

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each copy; empty before the first reset."""
        return self._np_random_seeds

    @property  # type: ignore[misc]
    def np_random(self) -> Sequence[np.random.Generator]:  # type: ignore[override]
        """One generator per copy; empty before the first reset."""
        generators: Sequence[np.random.Generator] = self._core.generators
        return generators

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin an episode in every copy.

        Args:
            seed: a whole number s seeds copy i with s + i; a list has one seed per copy. Either begins new
                sequences of contexts; without a seed, the current sequences go on.
            options: only ``reset_mask``, as Gymnasium's vector environments have it; since all copies end together, it
                must be True for all of them.

        Raises:
            InvalidValueError: another option, a mask that leaves copies out, or a list of another length.
        """
        refuse_options(options, ignored=frozenset({"reset_mask"}))
        mask = np.asarray((options or {}).get("reset_mask", True))
        if mask.dtype != np.bool_ or not mask.all():
            raise InvalidValueError("reset_mask", mask.tolist(), "True for all copies, which end together")
        self._steps = 0
        generators = None
        if seed is not None or not self._core.generators:
            drawn = [seeding.np_random(one) for one in self._seeds(seed)]
            self._np_random_seeds = tuple(used for _, used in drawn)
            generators = [generator for generator, _ in drawn]
        observations, info = self._core.reset(generators)
        return observations, self._masked(info)

    def step(self, actions: Any) -> tuple[Observation, NDArray[np.float64], Flags, Flags, Info]:
        """Play one action in every copy.

        Args:
            actions: shape (num_envs,) for one controlled field, (num_envs, 2) for both.

        Returns:
            Observations, rewards, terminations (never), truncations, and an info of arrays with a mask
            ``_name`` for every ``name``, as in Gymnasium's vector environments.

        Raises:
            InvalidValueError: actions outside the space, no reset before or after the end of an episode, or a reward
                function that isn't batched.
        """
        if self._steps == self.max_episode_steps:
            if self.autoreset_mode is AutoresetMode.DISABLED:
                raise InvalidValueError("step()", "after the end of an episode", "a reset", "Call reset() first.")
            observations, info = self.reset()
            return observations, np.zeros(self.num_envs), self._flags(False), self._flags(False), info
        observations, rewards, info = self._core.step(self.actions.batch_choices(actions, self.num_envs))
        rewards = np.array(rewards, dtype=np.float64)
        if rewards.shape != (self.num_envs,):
            raise InvalidValueError(
                "shape of the reward",
                rewards.shape,
                f"({self.num_envs},)",
                "It is called with arrays, one entry per copy.",
            )
        self._steps += 1
        info = self._masked(info)
        truncated = self._steps == self.max_episode_steps
        if truncated and self.autoreset_mode is AutoresetMode.SAME_STEP:
            final = self._masked({"final_obs": _of_objects(observations), "final_info": info})
            observations, info = self.reset()
            info |= final
        return observations, rewards, self._flags(False), self._flags(truncated), info

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return a method's result, or an attribute, once for each copy."""
        found = getattr(self, name)
        return (found(*args, **kwargs) if callable(found) else found,) * self.num_envs

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute, once for each copy: they share it."""
        return (getattr(self, name),) * self.num_envs

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute.

        Args:
            name: its name.
            values: one value, or a list with the same value for each copy.

        Raises:
            InvalidValueError: a list of another length, or of different values: the copies share their attributes.
        """
        values = values if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(values) != self.num_envs or any(value != values[0] for value in values):
            raise InvalidValueError(f"values of {name}", values, f"the same value {self.num_envs} times")
        setattr(self, name, values[0])

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

    def _masked(self, info: Info) -> Info:
        """Add a mask ``_name`` for every ``name``."""
        info.update(dict.fromkeys([f"_{name}" for name in info], self._flags(True)))
        return info

    def _flags(self, value: bool) -> Flags:
        return np.full(self.num_envs, value)


# Gymnasium's class is named as well, because some libraries look for it among the bases alone.
class MeshResilienceVectorEnv(OracleMixin, CoreVectorEnv, gym.vector.VectorEnv[Observation, Any, NDArray[Any]]):
    """``num_envs`` copies of :class:`meshgym.envs.single.MeshResilienceEnv`.

    It equals a ``SyncVectorEnv`` of single environments with the same seeds to the last bit, and is many times
    faster.

    Args:
        scenario, control, simulator, reward, contexts, render_mode, flat, outcomes: as for the single environment.
        sample, normalised, regret, continuous: likewise.
        num_envs: number of copies, at least 1.
        max_episode_steps, autoreset_mode: see :class:`CoreVectorEnv`.
    """

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
        flat: bool = False,
        outcomes: str | Sequence[str] = (),
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        sample: bool = False,
        normalised: bool = False,
        regret: bool = False,
        continuous: bool = False,
    ) -> None:
        options = Options(control, reward, contexts, flat, outcomes, normalised, regret, continuous)
        core = simulated_core(scenario, simulator, options, check_count("num_envs", num_envs), sample)
        super().__init__(core, max_episode_steps, render_mode, autoreset_mode)


def _of_objects(observations: Observation) -> NDArray[Any]:
    """Return observations as an array of arrays, as Gymnasium has them in an info."""
    found = np.empty(len(observations), dtype=object)
    found[:] = list(observations)
    return found

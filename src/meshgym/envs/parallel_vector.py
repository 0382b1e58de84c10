"""Many copies of a parallel environment, stepped with one look-up per service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshgym.envs.core import Info, Observation
from meshgym.envs.options import DEFAULT_CONTEXTS, DEFAULT_REWARD, Options, check_count
from meshgym.envs.registration import EPISODE_STEPS
from meshgym.envs.services import DEFAULT_BETA, DEFAULT_CONTROL, ServicesEnv
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator

Arrays = dict[str, NDArray[Any]]


class MeshResilienceParallelVectorEnv(ServicesEnv):
    """``num_envs`` copies of :class:`meshgym.envs.parallel.MeshResilienceParallelEnv`.

    Everything is by agent, as there, and has one axis more, for the copies. Copy c equals the parallel environment with
    seed ``seed + c`` to the last bit. All copies end together; the step that ends an episode already returns the first
    observations of the next one, and each agent's info has ``final_obs``.

    Args:
        services, control, beta, simulators, reward, contexts, outcomes, sample, normalised, regret: as there.
        num_envs: number of copies, at least 1.
        max_episode_steps: steps of an episode.
    """

    def __init__(
        self,
        services: Sequence[str | Path | Scenario],
        num_envs: int,
        control: str = DEFAULT_CONTROL,
        beta: float = DEFAULT_BETA,
        simulators: Sequence[str | Path | Simulator] | None = None,
        reward: str | Reward | tuple[str | Reward, ...] = DEFAULT_REWARD,
        contexts: str | ArrayLike | tuple[str | ArrayLike, ...] = DEFAULT_CONTEXTS,
        max_episode_steps: int = EPISODE_STEPS,
        outcomes: str | Sequence[str] = (),
        sample: bool = False,
        normalised: bool = False,
        regret: bool = False,
    ) -> None:
        self.num_envs = check_count("num_envs", num_envs)
        super().__init__(
            services,
            Options(control, reward, contexts, outcomes=outcomes, normalised=normalised, regret=regret),
            simulators=simulators,
            sample=sample,
            beta=beta,
            copies=self.num_envs,
            max_episode_steps=max_episode_steps,
        )

    def reset(self, seed: int | None = None) -> tuple[dict[str, Observation], dict[str, Info]]:
        """Begin an episode in all copies.

        Args:
            seed: begins new sequences of contexts; without one, the current sequences go on.

        Returns:
            By agent: observations, shape (num_envs, width), and an info of arrays.
        """
        observations, infos = self._reset(seed, None)
        return self._observed(observations), {agent: self._info(agent, infos) for agent in self.agents}

    def step(
        self, actions: Mapping[str, ArrayLike]
    ) -> tuple[dict[str, Observation], Arrays, Arrays, Arrays, dict[str, Info]]:
        """Play one action of every agent in every copy.

        Args:
            actions: by agent, shape (num_envs,), indices into the values that it chooses from.

        Returns:
            By agent: observations, rewards, terminated (never), truncated, and an info of arrays.

        Raises:
            InvalidValueError: other agents, another shape, an action outside its space, or no reset before.
        """
        self._check_actions(actions)
        joint = [
            np.stack([np.asarray(actions[f"{name}_{i}"]) for name in core.actions.names], axis=-1)
            for i, core in enumerate(self._cores)
        ]
        choices = [
            core.actions.batch_choices(own if len(core.actions.names) > 1 else own[..., 0], self.num_envs)
            for core, own in zip(self._cores, joint, strict=True)
        ]
        observations, rewards, infos, ended = self._step(choices)
        by_agent = {agent: self._info(agent, infos) for agent in self.agents}
        if ended:
            final = self._observed(observations)
            observations, _ = self._reset(None, None)
            by_agent = {agent: info | {"final_obs": final[agent]} for agent, info in by_agent.items()}
        return (
            self._observed(observations),
            {agent: rewards[i].copy() for agent, (_, i) in self._seats.items()},
            {agent: np.zeros(self.num_envs, bool) for agent in self.agents},
            {agent: np.full(self.num_envs, ended) for agent in self.agents},
            by_agent,
        )


#: The function that makes one.
parallel_vector_env = MeshResilienceParallelVectorEnv

"""Agents that act at the same time: PettingZoo's parallel interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from pettingzoo import ParallelEnv  # type: ignore[import-untyped]

from meshgym.envs.core import Info, Observation
from meshgym.envs.options import DEFAULT_CONTEXTS, DEFAULT_REWARD, Options
from meshgym.envs.registration import EPISODE_STEPS
from meshgym.envs.render import STILL_MODES
from meshgym.envs.services import DEFAULT_BETA, DEFAULT_CONTROL, ServicesEnv
from meshgym.mesh.base import Mesh
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator


class MeshResilienceParallelEnv(ServicesEnv, ParallelEnv[str, Observation, int]):  # type: ignore[misc]
    """One agent for each controlled load field of each service, all acting at once (paper, Table 3 and Sec. 5.3).

    The agents ``threads_0``, ``calls_0``, ``threads_1``, ... are named after what they choose and the position of
    their service. Both agents of a service observe its rules and get the same reward and info; a lone agent also
    observes the load field that nobody controls. Service i equals the single environment with seed ``seed + i``.

    Args:
        services: scenarios; the same one may occur more than once.
        control: ``"both"``, ``"threads"`` or ``"calls"``.
        beta: weight of the mean over services in each service's reward (paper, Eq. 8); the reward of a single
            service is its own.
        simulators: one per service; None for the bundled ones.
        reward, contexts: as for the single environment; a tuple has one per service.
        render_mode, outcomes, sample, normalised, regret: as for the single environment.
        max_episode_steps: steps after which all agents are truncated.
        homogeneous: whether all agents have the same spaces, for learners that share one policy: observations are
            filled up with zeros, and a 1 marks the agent's place among all agents; there are as many actions as any
            agent has, and ``action_mask`` in the info says which are the agent's own. Its last one stands for the
            others.
        meshes: one per service, to send real traffic to instead of simulating; closing them is up to the caller.

    Raises:
        UnknownNameError: an unknown scenario, control, reward, contexts or render mode.
        InvalidValueError: no service, another number of simulators, a negative ``beta``, or no steps.
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """

    metadata = {  # noqa: RUF012 (PettingZoo's type)
        "name": "mesh_resilience_v0",
        "render_modes": STILL_MODES,
        "is_parallelizable": True,
    }

    def __init__(
        self,
        services: Sequence[str | Path | Scenario],
        control: str = DEFAULT_CONTROL,
        beta: float = DEFAULT_BETA,
        simulators: Sequence[str | Path | Simulator] | None = None,
        reward: str | Reward | tuple[str | Reward, ...] = DEFAULT_REWARD,
        contexts: str | ArrayLike | tuple[str | ArrayLike, ...] = DEFAULT_CONTEXTS,
        max_episode_steps: int = EPISODE_STEPS,
        render_mode: str | None = None,
        outcomes: str | Sequence[str] = (),
        sample: bool = False,
        normalised: bool = False,
        regret: bool = False,
        homogeneous: bool = False,
        meshes: Sequence[Mesh] | None = None,
    ) -> None:
        super().__init__(
            services,
            Options(control, reward, contexts, outcomes=outcomes, normalised=normalised, regret=regret),
            simulators=simulators,
            meshes=meshes,
            sample=sample,
            beta=beta,
            homogeneous=homogeneous,
            max_episode_steps=max_episode_steps,
            render_mode=render_mode,
        )

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, Info]]:
        """Begin an episode.

        Args:
            seed: begins new sequences of contexts; without one, the current sequences go on.
            options: not supported.

        Returns:
            The first observation of each agent, shape (7,) or (8,), and infos as the single environment's.

        Raises:
            InvalidValueError: an option was given.
        """
        observations, infos = self._reset(seed, options)
        return self._observed(observations), {agent: self._info(agent, infos) for agent in self.agents}

    def step(
        self, actions: dict[str, int]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Info]]:
        """Play one action of every agent.

        Args:
            actions: by agent, an index into the values that it chooses from.

        Returns:
            By agent: the next observation, the reward, terminated (never), truncated, and the info of its service.

        Raises:
            InvalidValueError: not exactly one action per agent, an action outside its space, or no running episode.
        """
        self._check_actions(actions)
        choices: list[dict[str, int]] = [{} for _ in self._cores]
        for agent, (name, i) in self._seats.items():
            choices[i][name] = self._choice(agent, actions[agent])
        observations, rewards, infos, truncated = self._step(choices)
        agents = self.agents
        self.agents = [] if truncated else agents
        return (
            self._observed(observations),
            {agent: rewards[i] for agent, (_, i) in self._seats.items()},
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, truncated),
            {agent: self._info(agent, infos) for agent in agents},
        )


#: The name that PettingZoo's users look for.
parallel_env = MeshResilienceParallelEnv

"""Agents that act one after the other: PettingZoo's agent environment cycle (AEC)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike
from pettingzoo import AECEnv  # type: ignore[import-untyped]

from meshgym.envs.core import Info, Observation
from meshgym.envs.options import DEFAULT_CONTEXTS, DEFAULT_REWARD, Options
from meshgym.envs.registration import EPISODE_STEPS
from meshgym.envs.render import STILL_MODES
from meshgym.envs.services import DEFAULT_BETA, ServicesEnv
from meshgym.envs.spaces import observation_space
from meshgym.mesh.base import Mesh
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator


class MeshResilienceAECEnv(ServicesEnv, AECEnv[str, Observation, int]):  # type: ignore[misc]
    """Two dependent agents per service: the second observes what the first chose (paper, Table 3).

    With ``order=("threads", "calls")``, the paper's Thread-Call and the default, the agent ``threads_0`` observes the
    rules of service 0, and ``calls_0`` observes the rules and the chosen threads. ``("calls", "threads")`` is
    Call-Thread.
    All agents have the same observation space, as PettingZoo's API test requires: the rules, bounded over all
    services, and the first agent's choice in real units, which is 0 until it has chosen.

    Agents take turns service by service. When the last one has acted, all services receive their loads, and every
    agent gets its service's reward and info. Rules and rewards equal those of the parallel environment with the same
    seed.

    Args:
        services: scenarios; the same one may occur more than once.
        order: ``("threads", "calls")`` or ``("calls", "threads")``; of open loops, with ``"rate_per_s"``.
        beta, simulators, reward, contexts, max_episode_steps, render_mode, outcomes, sample, regret, meshes: as for the
            parallel environment.

    Raises:
        UnknownNameError: an unknown scenario, reward, contexts or render mode.
        InvalidValueError: another order, no service, another number of simulators, a negative ``beta``, or
            no steps.
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """

    metadata = {  # noqa: RUF012 (PettingZoo's type)
        "name": "mesh_resilience_dependent_v0",
        "render_modes": STILL_MODES,
        "is_parallelizable": False,
    }

    def __init__(
        self,
        services: Sequence[str | Path | Scenario],
        order: Sequence[str] | None = None,
        beta: float = DEFAULT_BETA,
        simulators: Sequence[str | Path | Simulator] | None = None,
        reward: str | Reward | tuple[str | Reward, ...] = DEFAULT_REWARD,
        contexts: str | ArrayLike | tuple[str | ArrayLike, ...] = DEFAULT_CONTEXTS,
        max_episode_steps: int = EPISODE_STEPS,
        render_mode: str | None = None,
        outcomes: str | Sequence[str] = (),
        sample: bool = False,
        regret: bool = False,
        meshes: Sequence[Mesh] | None = None,
    ) -> None:
        super().__init__(
            services,
            Options("both", reward, contexts, outcomes=outcomes, regret=regret),
            order,
            simulators,
            meshes,
            sample,
            beta,
            max_episode_steps=max_episode_steps,
            render_mode=render_mode,
        )
        self._first, _ = dict.fromkeys(name for name, _ in self._seats.values())
        common = _common_space([core.scenario for core in self._cores], self._first)
        self.observation_spaces = dict.fromkeys(self.possible_agents, common)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin an episode; arguments and errors are those of the parallel environment."""
        self._observations, infos = self._reset(seed, options)
        self.agent_selection = self.agents[0]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, Info] = {agent: self._info(agent, infos) for agent in self.agents}
        self._choices: list[dict[str, int]] = [{} for _ in self._cores]

    def observe(self, agent: str) -> Observation:
        """Return the rules of the agent's service and what its first agent chose; 0 if it hasn't chosen yet.

        Returns:
            float32, shape (8,), in real units.
        """
        name, i = self._seats[agent]
        chosen = None if name == self._first else self._choices[i].get(self._first)
        value = 0 if chosen is None else self._cores[i].actions.values[self._first][chosen]
        return np.append(self._observations[i], np.float32(value))

    def step(self, action: int | None) -> None:
        """Let the selected agent act; the last agent's action plays the step.

        Args:
            action: an index into the values that the agent chooses from; None once the agent is truncated.

        Raises:
            InvalidValueError: an action outside the agent's space, or no running episode.
        """
        self._refuse_step_outside_episode()
        agent = self.agent_selection
        if self.truncations[agent]:
            self._was_dead_step(action)
            return
        name, i = self._seats[agent]
        self._choices[i][name] = self._choice(agent, action)
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        if agent == self.agents[-1]:
            self._play()
        self._accumulate_rewards()
        self.agent_selection = self.agents[(self.agents.index(agent) + 1) % len(self.agents)]

    def _play(self) -> None:
        """Step every service, now that all agents have chosen."""
        self._observations, rewards, infos, truncated = self._step(self._choices)
        self._choices = [{} for _ in self._cores]
        for agent, (_, i) in self._seats.items():
            self.rewards[agent] = rewards[i]
            self.truncations[agent] = truncated
            self.infos[agent] = self._info(agent, infos)


def _common_space(scenarios: Sequence[Scenario], first: str) -> spaces.Box:
    """Return the space of any scenario's rules and the load field ``first``, 0 included."""
    each = [observation_space(scenario, first) for scenario in scenarios]
    low = np.min([space.low for space in each], axis=0)
    low[-1] = 0
    return spaces.Box(low, np.max([space.high for space in each], axis=0))


#: The name that PettingZoo's users look for.
aec_env = MeshResilienceAECEnv

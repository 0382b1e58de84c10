"""Several services as one environment, and PettingZoo's environments in the same form.

Arrays have one axis more than those of one service: observations (N, n, inputs), actions (N, n), or (N, n, 2) for
threads and calls, rewards (N, n). Each reward is the service's own; learners apply Eq. 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from meshagents.errors import AgentError
from meshagents.spaces import Spaces
from meshgym.errors import InvalidValueError
from meshgym.fields import LOADS

Observations = NDArray[Any]
Step = tuple[Observations, NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
ByAgent = dict[str, Any]


class _Several(VectorEnv[Observations, NDArray[Any], NDArray[Any]]):
    """Has the spaces of n services, made from those of each."""

    def _set_spaces(self, parts: Sequence[Spaces], num_envs: int) -> None:
        if len({(part.low.shape, part.actions.shape) for part in parts}) != 1 or parts[0].services is not None:
            raise AgentError("the services of an application must have one control and equally long observations")
        low, high = (np.stack(bounds) for bounds in zip(*((part.low, part.high) for part in parts), strict=True))
        self.num_envs = num_envs
        self.single_observation_space = Box(low, high, dtype=np.float32)
        self.single_action_space = MultiDiscrete(np.stack([part.actions for part in parts]))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)


class Application(_Several):
    """Batched environments of n services that step together.

    Args:
        services: one batch per service, of the same size and control; their episodes must end together.

    Raises:
        InvalidValueError: no services, or batches of different sizes.
        AgentError: spaces that don't only differ in bounds and numbers of actions.
    """

    def __init__(self, services: Sequence[VectorEnv[Any, Any, Any]]) -> None:
        sizes = {service.num_envs for service in services}
        if len(sizes) != 1:
            raise InvalidValueError("num_envs of the services", sorted(sizes), "at least one service, all of one size")
        self.services = tuple(services)
        self.metadata = {"autoreset_mode": AutoresetMode(services[0].metadata["autoreset_mode"])}
        self._set_spaces([Spaces.of_envs(service) for service in services], sizes.pop())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Reset all services, each with its own seed, drawn from ``seed``."""
        count = len(self.services)
        seeds = [None] * count if seed is None else np.random.SeedSequence(seed).generate_state(count).tolist()
        starts = [service.reset(seed=one, options=options) for service, one in zip(self.services, seeds, strict=True)]
        return np.stack([observation for observation, _ in starts], axis=1), {"services": [info for _, info in starts]}

    def step(self, actions: NDArray[Any]) -> Step:
        """Step all services.

        Args:
            actions: shape (N, n), or (N, n, 2) for threads and calls.

        Returns:
            Observations, shape (N, n, inputs), each service's own reward, (N, n), terminations and truncations,
            (N,), and an info whose ``"services"`` holds that of each service.
        """
        steps = [service.step(actions[:, i]) for i, service in enumerate(self.services)]
        observations, rewards, terminated, truncated, infos = zip(*steps, strict=True)
        info: dict[str, Any] = {"services": list(infos)}
        if "final_obs" in infos[0]:
            info["final_obs"] = _stack_final([part["final_obs"] for part in infos])
        return np.stack(observations, axis=1), np.stack(rewards, axis=1), terminated[0], truncated[0], info

    def close_extras(self, **kwargs: Any) -> None:
        """Close the services."""
        for service in self.services:
            service.close(**kwargs)


def _stack_final(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Join the last observations of n services, each of shape (N,), to one of None or arrays of shape (n, inputs)."""
    final = np.empty(len(parts[0]), dtype=object)
    for i, rows in enumerate(zip(*parts, strict=True)):
        final[i] = None if rows[0] is None else np.stack(rows)
    return final


class ParallelApplication(_Several):
    """A parallel PettingZoo environment of meshgym, as a batch of one.

    Make it with ``beta=0``, because learners apply Eq. 8; or train with ``beta=0``.

    Args:
        env: its agents are ``threads_0``, ``calls_0``, ``threads_1``, ..., or only one of both kinds.

    Raises:
        AgentError: other agents.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's type)

    def __init__(self, env: Any) -> None:
        self.env = env
        names = set(env.possible_agents)
        kinds = [kind for kind in LOADS if f"{kind}_0" in names]
        count = len(names) // len(kinds) if kinds else 0
        self.agents = [[f"{kind}_{i}" for kind in kinds] for i in range(count)]
        if names != {agent for agents in self.agents for agent in agents}:
            raise AgentError(f"can't train agents {sorted(names)}; needed: threads_0, calls_0, threads_1, ...")
        self._set_spaces([self._spaces(agents) for agents in self.agents], num_envs=1)
        self._ended = True

    def _spaces(self, agents: Sequence[str]) -> Spaces:
        """Return what one service's agents see and decide together."""
        spaces = [self.env.action_space(agent) for agent in agents]
        joint = spaces[0] if len(spaces) == 1 else MultiDiscrete([space.n for space in spaces])
        return Spaces.of_spaces(self.env.observation_space(agents[0]), joint)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Reset the environment."""
        self._ended = False
        return self._stack(self._start(seed, options)), {}

    def step(self, actions: NDArray[Any]) -> Step:
        """Play one action of every agent; after the end of an episode, only reset."""
        shape = (1, len(self.agents))
        if self._ended:
            return self.reset()[0], np.zeros(shape), np.zeros(1, bool), np.zeros(1, bool), {}
        chosen = actions.reshape(shape[1], -1).tolist()
        joint = {
            agent: action
            for agents, row in zip(self.agents, chosen, strict=True)
            for agent, action in zip(agents, row, strict=True)
        }
        seen, rewards, terminated, truncated = self._play(joint)
        self._ended = any(terminated.values()) or any(truncated.values())
        return (
            self._stack(seen),
            np.array([[rewards[agents[0]] for agents in self.agents]]),
            np.array([any(terminated.values())]),
            np.array([any(truncated.values())]),
            {},
        )

    def _start(self, seed: int | None, options: dict[str, Any] | None) -> ByAgent:
        seen: ByAgent = self.env.reset(seed=seed, options=options)[0]
        return seen

    def _play(self, joint: dict[str, int]) -> tuple[ByAgent, ByAgent, ByAgent, ByAgent]:
        """Play one round; return observations, rewards, terminations and truncations."""
        seen, rewards, terminated, truncated, _ = self.env.step(joint)
        return seen, rewards, terminated, truncated

    def _stack(self, seen: ByAgent) -> Observations:
        """Return what the agents of each service see, shape (1, n, inputs)."""
        return np.stack([seen[agents[0]] for agents in self.agents])[None]

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environment."""
        self.env.close()


class TurnsApplication(ParallelApplication):
    """An AEC environment of meshgym, as a batch of one; see :class:`ParallelApplication` for ``beta`` and errors.

    Its agents also see the first one's action. A dependent pair adds that by itself, so it is left out here.
    """

    def _spaces(self, agents: Sequence[str]) -> Spaces:
        whole = super()._spaces(agents)
        return Spaces(whole.low[:-1], whole.high[:-1], whole.actions, whole.observed - 1)

    def _start(self, seed: int | None, options: dict[str, Any] | None) -> ByAgent:
        self.env.reset(seed=seed, options=options)
        return self._look()

    def _play(self, joint: dict[str, int]) -> tuple[ByAgent, ByAgent, ByAgent, ByAgent]:
        for _ in joint:
            self.env.step(joint[self.env.agent_selection])
        return self._look(), self.env.rewards, self.env.terminations, self.env.truncations

    def _look(self) -> ByAgent:
        return {agents[0]: self.env.observe(agents[0])[:-1] for agents in self.agents}

"""Several services as one environment, and PettingZoo's environments seen that way.

All have one more axis than an environment of one service: observations (N, n, inputs), actions (N, n), or
(N, n, 2) for threads and calls, rewards (N, n). The rewards are each service's own; Eq. 8 is the learners'.
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
from meshagents.task import Task
from meshgym.errors import InvalidValueError


class Application(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """Batched environments of n services that step together.

    Args:
        services: batches of one size and one control each; their episodes must end together.

    Raises:
        InvalidValueError: no services, or batches of different sizes.
        AgentError: spaces that differ in more than bounds and numbers of actions.
    """

    def __init__(self, services: Sequence[VectorEnv[Any, Any, Any]]) -> None:
        sizes = {service.num_envs for service in services}
        if len(sizes) != 1:
            raise InvalidValueError("num_envs of the services", sorted(sizes), "at least one service, all of one size")
        tasks = [Task.of_spaces(service.single_observation_space, service.single_action_space) for service in services]
        if len({(task.low.shape, task.actions.shape) for task in tasks}) != 1 or tasks[0].services is not None:
            raise AgentError("the services of an application must have the same control; make them with one control=")
        self.services = tuple(services)
        self.num_envs = sizes.pop()
        self.metadata = {"autoreset_mode": AutoresetMode(services[0].metadata["autoreset_mode"])}
        self.single_observation_space = Box(
            np.stack([task.low for task in tasks]), np.stack([task.high for task in tasks]), dtype=np.float32
        )
        self.single_action_space = MultiDiscrete(np.stack([task.actions for task in tasks]))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Reset all services, each with a seed of its own drawn from ``seed``."""
        count = len(self.services)
        seeds = [None] * count if seed is None else np.random.SeedSequence(seed).generate_state(count).tolist()
        starts = [service.reset(seed=one, options=options) for service, one in zip(self.services, seeds, strict=True)]
        return np.stack([observation for observation, _ in starts], axis=1), {"services": [info for _, info in starts]}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all services; ``info["services"]`` holds what each one said."""
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
    """Last observations of n services, shape (N,) each, as one of shape (N,): None, or an array (n, inputs)."""
    final = np.empty(len(parts[0]), dtype=object)
    for i, rows in enumerate(zip(*parts, strict=True)):
        final[i] = None if rows[0] is None else np.stack(rows)
    return final

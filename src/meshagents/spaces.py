"""The spaces of an environment as arrays: what an agent sees and what it can choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from meshagents.errors import AgentError


@dataclass(frozen=True)
class Spaces:
    """Bounds of observations and numbers of actions.

    Attributes:
        low, high: bounds of an observation, shape (inputs,), or (n, inputs) for n services.
        actions: how many actions there are, shape () for one decision and (2,) for threads and calls; (n,) and
            (n, 2) for n services.
        observed: how many of the inputs the environment shows. The others are actions of other agents.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    actions: NDArray[np.int64]
    observed: int

    @classmethod
    def of_spaces(cls, observations: Space[Any], actions: Space[Any]) -> Self:
        """Read the spaces of a single environment.

        Raises:
            AgentError: no agent here can use them.
        """
        if not isinstance(observations, Box) or len(observations.shape) not in (1, 2):
            raise AgentError(
                f"can't learn from observation space {observations}; needed: a Box of shape (inputs,) or "
                "(services, inputs). Flatten it with gymnasium.wrappers.FlattenObservation"
            )
        services = observations.shape[:-1]
        if isinstance(actions, Discrete):
            counts, start = np.array(actions.n), np.array(actions.start)
        elif isinstance(actions, MultiDiscrete):
            counts, start = actions.nvec, actions.start
        else:
            counts = start = np.array(-1)
        if counts.shape not in (services, (*services, 2)) or (start != 0).any():
            raise AgentError(
                f"can't choose from action space {actions}; needed: a Discrete, or a MultiDiscrete of one or two "
                "decisions per service, counted from 0"
            )
        low, high = observations.low.astype(np.float32), observations.high.astype(np.float32)
        return cls(low, high, counts.astype(np.int64), observations.shape[-1])

    @classmethod
    def of_envs(cls, envs: VectorEnv[Any, Any, Any]) -> Self:
        """Read the spaces of batched environments.

        Raises:
            AgentError: no agent here can use them.
        """
        return cls.of_spaces(envs.single_observation_space, envs.single_action_space)

    @property
    def services(self) -> int | None:
        """How many services there are; None if observations have no axis for them."""
        return len(self.low) if self.low.ndim == 2 else None

    @property
    def paired(self) -> bool:
        """Whether there are two decisions, threads and calls."""
        return self.actions.ndim == self.low.ndim

    def check(self, agent: str, paired: bool, several: bool) -> None:
        """Check that they are of the kind an agent takes.

        Args:
            agent: what messages call it.
            paired: whether it takes two decisions.
            several: whether it takes several services.

        Raises:
            AgentError: they aren't.
        """
        if (self.paired, self.services is not None) != (paired, several):
            control = 'control="both"' if paired else 'control="threads" or "calls"'
            raise AgentError(
                f"{agent} can't choose from actions {self.actions.tolist()}; needed: {control} and "
                f"{'several services (see Application)' if several else 'one service'}"
            )

    def decision(self, which: int) -> Spaces:
        """Return the spaces of one of two decisions: 0 threads, 1 calls."""
        return Spaces(self.low, self.high, self.actions[..., which], self.observed)

    def seeing(self, other: Spaces) -> Spaces:
        """Return the spaces of this decision if it also sees the action of ``other``: one more input."""
        most = (other.actions[..., None] - 1).astype(np.float32)
        low = np.concatenate([self.low, np.zeros_like(most)], axis=-1)
        return Spaces(low, np.concatenate([self.high, most], axis=-1), self.actions, self.observed)

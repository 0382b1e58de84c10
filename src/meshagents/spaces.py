"""What there is to decide: the spaces of an environment, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray

from meshagents.errors import AgentError


@dataclass(frozen=True)
class Spaces:
    """Bounds of the observations and numbers of actions.

    Attributes:
        low, high: bounds of an observation, shape (inputs,); with n services (n, inputs).
        actions: how many there are, shape () for one decision and (2,) for threads and calls; with n
            services (n,) and (n, 2).
        observed: how many of the inputs the environment shows; the rest are other agents' actions.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    actions: NDArray[np.int64]
    observed: int

    @classmethod
    def of_spaces(cls, observations: Space[Any], actions: Space[Any]) -> Self:
        """The task of an environment's (single) spaces.

        Raises:
            AgentError: spaces that no agent here can use.
        """
        if not isinstance(observations, Box) or len(observations.shape) not in (1, 2):
            raise AgentError(
                f"observation space {observations} cannot be learned from; needed: a Box of shape (inputs,), "
                "or (services, inputs). Flatten it with gymnasium.wrappers.FlattenObservation"
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
                f"action space {actions} cannot be chosen from; needed: a Discrete, or a MultiDiscrete of one or "
                "two decisions for each service, counted from 0"
            )
        low, high = observations.low.astype(np.float32), observations.high.astype(np.float32)
        return cls(low, high, counts.astype(np.int64), observations.shape[-1])

    @property
    def services(self) -> int | None:
        """How many services there are; None where the observation has no axis for them."""
        return len(self.low) if self.low.ndim == 2 else None

    @property
    def paired(self) -> bool:
        """Whether there are two decisions: threads and calls."""
        return self.actions.ndim == self.low.ndim

    def decision(self, which: int) -> Spaces:
        """One of two decisions alone: 0 threads, 1 calls."""
        return Spaces(self.low, self.high, self.actions[..., which], self.observed)

    def seeing(self, other: Spaces) -> Spaces:
        """This decision, taken when the one of ``other`` is known: one input more."""
        most = (other.actions[..., None] - 1).astype(np.float32)
        low = np.concatenate([self.low, np.zeros_like(most)], axis=-1)
        return Spaces(low, np.concatenate([self.high, most], axis=-1), self.actions, self.observed)

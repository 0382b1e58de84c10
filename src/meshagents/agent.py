"""What an agent is. To bring your own, subclass :class:`Agent` and write ``act``; this needs NumPy only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple, Self

from numpy.typing import NDArray

from meshagents.errors import AgentError


class Transition(NamedTuple):
    """One step of N environments. With n services, arrays have one axis more.

    Attributes:
        observation: what the agent saw, shape (N, [n,] inputs).
        action: what it chose, shape (N, [n]), or (N, [n,] 2) if it chooses both threads and calls.
        reward: each service's own, shape (N, [n]).
        next_observation: what followed. After the last step of an episode, this is the episode's last observation,
            not the first of the next episode.
        terminated: whether the episode ended for good, shape (N,). A time limit doesn't count: the last observation
            still has a value.
    """

    observation: NDArray[Any]
    action: NDArray[Any]
    reward: NDArray[Any]
    next_observation: NDArray[Any]
    terminated: NDArray[Any]


class Agent(ABC):
    """Chooses actions and may learn from their rewards. Only :meth:`act` must be written."""

    @abstractmethod
    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[Any]:
        """Choose actions.

        Args:
            observation: shape (..., [n,] inputs), with any leading axes.
            explore: whether to explore, as in training.
            service: act only for this one of n services; ``observation`` then has no axis n. Agents of one service
                ignore it.

        Returns:
            Indices of actions: shape (..., [n]), or (..., [n,] 2) for both threads and calls.
        """

    def update(self, transition: Transition) -> float | None:
        """Learn from one step of all environments.

        Returns:
            The loss, or None if the agent doesn't learn.
        """
        return None

    def remember(self) -> None:
        """Keep the present policy for :meth:`best`. The training loop calls this after each new best epoch."""

    def best(self) -> Agent:
        """Return the agent as it was last remembered, or as it is now if it never was."""
        return self

    def save(self, path: str | Path) -> Path:
        """Write the agent to a file.

        Raises:
            AgentError: this kind of agent has no file.
        """
        raise AgentError(f"{type(self).__name__} can't be saved; give it the methods save() and load()")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            AgentError: this kind of agent has no file.
        """
        raise AgentError(f"{cls.__name__} can't be loaded; give it the methods save() and load()")

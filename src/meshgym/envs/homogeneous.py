"""The same spaces for agents that differ, for learners that share one policy among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Observation = NDArray[np.float32]


class Homogeneous:
    """Pads what agents see and choose to the same spaces.

    An observation is the agent's own, filled up with zeros, then a 1 at the agent's place among all agents. There are
    as many actions as the agent with the most has; another's last action stands for those that it doesn't have, and
    ``action_mask`` in its info says which it has.

    Args:
        action_spaces, observation_spaces: of the agents, by name.

    Attributes:
        action_space, observation_space: of all of them.
        masks: 1 for each action that an agent has, 0 for the others, shape (actions,), by name.
    """

    def __init__(
        self, action_spaces: Mapping[str, spaces.Discrete], observation_spaces: Mapping[str, spaces.Box]
    ) -> None:
        counts = {agent: int(space.n) for agent, space in action_spaces.items()}
        self.action_space = spaces.Discrete(max(counts.values()))
        self._last = {agent: count - 1 for agent, count in counts.items()}
        actions = np.arange(self.action_space.n)
        self.masks = {agent: (actions < count).astype(np.int8) for agent, count in counts.items()}
        self._places = dict(zip(counts, np.eye(len(counts), dtype=np.float32), strict=True))
        self._width = max(space.shape[0] for space in observation_spaces.values())
        low, high = (
            np.array([self._padded(getattr(space, end)) for space in observation_spaces.values()])
            for end in ("low", "high")
        )
        ends = np.zeros(len(counts), np.float32), np.ones(len(counts), np.float32)
        self.observation_space = spaces.Box(
            np.concatenate([low.min(axis=0), ends[0]]), np.concatenate([high.max(axis=0), ends[1]])
        )

    def _padded(self, observation: Observation) -> Observation:
        return np.pad(observation, (0, self._width - len(observation)))

    def seen(self, agent: str, observation: Observation) -> Observation:
        """Return what an agent sees, shape (inputs,)."""
        return np.concatenate([self._padded(observation), self._places[agent]])

    def own(self, agent: str, action: Any) -> Any:
        """Return an action among those that an agent has; what isn't in the space stays as it is."""
        return min(action, self._last[agent]) if action in self.action_space else action

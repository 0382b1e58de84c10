"""Policies that don't learn, to compare agents with: random, one fixed action, and the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshagents.agent import Agent
from meshagents.spaces import Spaces
from meshgym.errors import UnknownNameError
from meshgym.rewards import Reward, apply_reward, load_reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator


class RandomAgent(Agent):
    """Chooses every action with the same probability (the paper's baseline).

    Args:
        spaces: what it sees and can choose.
        seed: seed of the draws.
    """

    def __init__(self, spaces: Spaces, seed: int) -> None:
        self.spaces = spaces
        self.rng = np.random.default_rng(seed)

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[np.int64]:
        """See :meth:`Agent.act`."""
        alone = service is None or self.spaces.services is None
        counts = self.spaces.actions if alone else self.spaces.actions[service]
        leading = np.shape(observation)[: -self.spaces.low.ndim if alone else -1]
        return self.rng.integers(counts, size=(*leading, *counts.shape))


class FixedAgent(Agent):
    """Always chooses the same action.

    Args:
        action: shape () for one decision, (2,) for threads and calls.
    """

    def __init__(self, action: Any) -> None:
        self.action = np.asarray(action, dtype=np.int64)

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[np.int64]:
        """See :meth:`Agent.act`."""
        return np.broadcast_to(self.action, (*np.shape(observation)[:-1], *self.action.shape)).copy()


class OracleAgent(Agent):
    """Finds the best action for each observation: it asks the simulator about all of them.

    Args:
        simulator: predicts the responses.
        scenario: has the actions to try.
        control: ``"threads"``, ``"calls"`` or ``"both"``.
        reward: what to maximise.

    Raises:
        UnknownNameError: no such control or reward.
    """

    def __init__(
        self, simulator: Simulator, scenario: Scenario, control: str, reward: str | Reward = "worst_case"
    ) -> None:
        if control not in (*scenario.load_names, "both"):
            raise UnknownNameError("control", control, (*scenario.load_names, "both"))
        self.simulator, self.reward = simulator, load_reward(reward)
        self.names, self.loads = scenario.setting_names, scenario.load_names
        self.decided = [name for name in scenario.load_names if control in (name, "both")]
        counts = [len(scenario.actions[name]) for name in self.decided]
        self.choices = np.indices(counts).reshape(len(counts), -1).T
        self.values = np.column_stack(
            [np.array(scenario.actions[name])[self.choices[:, i]] for i, name in enumerate(self.decided)]
        )

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[np.int64]:
        """See :meth:`Agent.act`."""
        observation = np.asarray(observation, dtype=np.float64)
        seen = np.repeat(observation.reshape(-1, observation.shape[-1]), len(self.values), axis=0)
        tried = np.tile(self.values, (len(seen) // len(self.values), 1))
        settings = np.empty((len(seen), len(self.names)))
        free = [name for name in self.loads if name not in self.decided]
        rules = [name for name in self.names if name not in self.loads]
        for part, names in ((seen, [*rules, *free]), (tried, self.decided)):
            settings[:, [self.names.index(name) for name in names]] = part
        expected = self.simulator.predict(settings)
        rewards = apply_reward(self.reward, expected, settings, self.names)
        best = rewards.reshape(-1, len(self.values)).argmax(axis=1)
        shape = observation.shape[:-1] if len(self.decided) == 1 else (*observation.shape[:-1], 2)
        actions: NDArray[np.int64] = self.choices[best].reshape(shape)
        return actions

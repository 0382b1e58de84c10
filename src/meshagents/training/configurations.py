"""Who decides what: the rows of the paper's Table 5, and the agents for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.spaces import Spaces
from meshgym.errors import MissingDependencyError, UnknownNameError
from meshgym.scenarios import Scenario

try:
    from meshagents.learners.collaborative import (
        CollaborativeDependentPair,
        CollaborativeDQN,
        CollaborativeIndependentPair,
    )
    from meshagents.learners.dqn import DQN
    from meshagents.learners.pairs import DependentPair, IndependentPair
except ModuleNotFoundError as error:
    raise MissingDependencyError("torch", "training an agent", "agents") from error


@dataclass(frozen=True)
class Configuration:
    """Who decides what (paper, Table 3).

    Attributes:
        name: the paper's name.
        decides: what is decided: ``"pace"`` (threads, or the rate of an open loop), ``"calls"`` or ``"both"``.
        learner: the agent of one service.
        collaborative: the agent of several services.
        arguments: further arguments of both constructors.
    """

    name: str
    decides: str
    learner: type[DQN]
    collaborative: type[DQN]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def control(self, scenario: Scenario) -> str:
        """Return what environments of a scenario call that: a load field's name, or ``"both"``."""
        return scenario.load_names[0] if self.decides == "pace" else self.decides

    def kind(self, services: int) -> type[DQN]:
        """Return the kind of agent for so many services."""
        return self.learner if services == 1 else self.collaborative

    def make_agent(self, spaces: Spaces, hyperparameters: Hyperparameters, seed: int) -> DQN:
        """Return an untrained agent.

        Raises:
            AgentError: spaces of another control.
        """
        return self.kind(spaces.services or 1)(spaces, hyperparameters, seed, **self.arguments)


#: All configurations, in the order of Table 5.
CONFIGURATIONS: tuple[Configuration, ...] = (
    Configuration("Call", "calls", DQN, CollaborativeDQN),
    Configuration("Thread", "pace", DQN, CollaborativeDQN),
    Configuration("Thread&Call", "both", IndependentPair, CollaborativeIndependentPair),
    Configuration("Thread-Call", "both", DependentPair, CollaborativeDependentPair, {"first": 0}),
    Configuration("Call-Thread", "both", DependentPair, CollaborativeDependentPair, {"first": 1}),
)


def load_configuration(name: str) -> Configuration:
    """Return a configuration by the paper's name, in any case.

    Raises:
        UnknownNameError: no such name.
    """
    for configuration in CONFIGURATIONS:
        if configuration.name.lower() == name.lower():
            return configuration
    raise UnknownNameError("configuration", name, [configuration.name for configuration in CONFIGURATIONS])

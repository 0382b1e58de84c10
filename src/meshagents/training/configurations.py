"""The rows of the paper's Table 5: who decides what, and which agent does."""

from __future__ import annotations

from dataclasses import dataclass

from meshagents.agent import LearningAgent
from meshagents.learners.dependent import Dependent
from meshagents.learners.dqn import DQN
from meshagents.learners.independent import Independent
from meshgym.errors import UnknownNameError


@dataclass(frozen=True)
class Configuration:
    """Who decides what (paper, Table 3).

    Attributes:
        name: the paper's.
        control: what is decided: ``"threads"``, ``"calls"`` or ``"both"``.
        learner: the kind of agent.
        first: which of a dependent pair acts first, 0 (threads) or 1 (calls).
    """

    name: str
    control: str
    learner: type[LearningAgent]
    first: int = 0


CONFIGURATIONS: tuple[Configuration, ...] = (
    Configuration("Call", "calls", DQN),
    Configuration("Thread", "threads", DQN),
    Configuration("Thread&Call", "both", Independent),
    Configuration("Thread-Call", "both", Dependent, first=0),
    Configuration("Call-Thread", "both", Dependent, first=1),
)


def load_configuration(name: str) -> Configuration:
    """A configuration by the paper's name, in any case.

    Raises:
        UnknownNameError: no such name.
    """
    for configuration in CONFIGURATIONS:
        if configuration.name.lower() == name.lower():
            return configuration
    raise UnknownNameError("configuration", name, [configuration.name for configuration in CONFIGURATIONS])

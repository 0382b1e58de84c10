"""An agent from outside and the task it is for: what ``Trained`` is for the project's own."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from meshagents.outside.agent import Function, OutsideAgent, read_function
from meshagents.training.tasks import Task
from meshgym.envs.spaces import controls_of
from meshgym.errors import UnknownNameError
from meshgym.files import read_bytes
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario


@dataclass(frozen=True)
class Decides:
    """Who decides what, as a configuration of the project's own.

    Attributes:
        name: what tables call it.
        decides: ``"pace"``, ``"calls"``, ``"both"``, or a load field's own name.
    """

    name: str
    decides: str

    def control(self, scenario: Scenario) -> str:
        """Return what environments of a scenario call that.

        Raises:
            UnknownNameError: no such control.
        """
        control = scenario.load_names[0] if self.decides == "pace" else self.decides
        if control not in controls_of(scenario):
            raise UnknownNameError("control", control, controls_of(scenario))
        return control


@dataclass(frozen=True)
class Outside:
    """An agent from outside, with what is needed to judge it.

    Attributes:
        source: a function, ``module:function``, or a file that ends in .zip or .onnx.
        task: what it is for.
        configuration: its name, and what it decides.
        normalised: whether it observes numbers from 0 to 1.
        reward: see :func:`meshgym.rewards.load_reward`.
    """

    source: str | Function
    task: Task
    configuration: Decides
    normalised: bool = False
    reward: str | Reward = "worst_case"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The one task."""
        return (self.task,)

    @cached_property
    def _function(self) -> Function:
        return read_function(self.source) if isinstance(self.source, str) else self.source

    @cached_property
    def agent(self) -> OutsideAgent:
        """The agent itself."""
        scenario = self.task.load_scenario()
        return OutsideAgent(
            self._function, scenario, self.configuration.control(scenario), self.normalised, self.configuration.name
        )

    @property
    def sha256(self) -> str:
        """Hash of the file, or of the function's source as far as it is known."""
        if isinstance(self.source, str) and Path(self.source).is_file():
            return hashlib.sha256(read_bytes(self.source)).hexdigest()
        try:
            written = inspect.getsource(self._function)
        except (OSError, TypeError):
            written = ""
        return hashlib.sha256(f"{self.source}\n{written}".encode()).hexdigest()

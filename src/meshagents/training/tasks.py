"""A task: a scenario, and the simulator that an agent is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from meshagents.training.evaluation import RewardGrid
from meshgym.rewards import Reward, further_needs, load_reward, takes_run
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import Simulator, load_simulator, response_table


@dataclass(frozen=True)
class Task:
    """What to train an agent on.

    Attributes:
        scenario: see :func:`meshgym.scenarios.load_scenario`.
        simulator: see :func:`meshgym.simulator.load_simulator`; None for the one bundled for the scenario.
    """

    scenario: str | Path | Scenario
    simulator: str | Path | Simulator | None = None

    @property
    def name(self) -> str:
        """Name of the scenario."""
        return self.load_scenario().name

    @property
    def title(self) -> str:
        """The task as a command line takes it."""
        parts = [one for one in (self.scenario, self.simulator) if isinstance(one, str | Path)]
        return "=".join(map(str, parts)) or self.name

    def load_scenario(self) -> Scenario:
        """Return the scenario.

        Raises:
            UnknownNameError: neither a bundled name nor an existing file.
            InvalidValueError: a file that isn't a scenario.
        """
        return load_scenario(self.scenario)

    def load_simulator(self) -> Simulator:
        """Return the simulator; a process reads each file once, and so fills each response table once.

        Raises:
            SimulatorError: no usable simulator, or one that was fitted for another scenario.
        """
        given = self.simulator
        simulator = given if isinstance(given, Simulator) else _read(str(given or self.name))
        simulator.check_fits(self.load_scenario())
        return simulator

    def grid(self, reward: str | Reward = "worst_case") -> RewardGrid:
        """Return the rewards over the scenario's grid; see :meth:`RewardGrid.of_table`."""
        rewarded = load_reward(reward)
        further = takes_run(rewarded) or bool(further_needs(rewarded))
        return RewardGrid.of_table(response_table(self.load_simulator(), self.load_scenario(), further), reward)

    def identity(self) -> dict[str, Any]:
        """Return what the task is, as plain values: scenario, hash of the simulator, and hash of its traces."""
        simulator = self.load_simulator()
        return {
            "scenario": self.load_scenario().to_dict(),
            "simulator": simulator.sha256,
            "traces": simulator.identity.traces,
        }


@cache
def _read(simulator: str) -> Simulator:
    return load_simulator(simulator)

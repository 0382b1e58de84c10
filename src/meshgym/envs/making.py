"""Make the core of an environment: over a simulator or a live mesh, for who sends loads or who sets rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from meshgym.envs.core import Core
from meshgym.envs.defence import DefenceCore
from meshgym.envs.options import ALL, RULES_CONTROL, Options, check_names
from meshgym.errors import InvalidValueError
from meshgym.fields import OUTCOMES
from meshgym.mesh.base import Mesh
from meshgym.rewards import further_needs, load_reward
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import SimulatedMesh, Simulator, simulator_for
from meshgym.types import RESPONSE_NAMES


def simulated_core(
    scenario: str | Path | Scenario,
    simulator: str | Path | Simulator | None,
    options: Options,
    copies: int | None = None,
    sample: bool = False,
) -> Core:
    """Make a core over a simulator; None stands for the one that is bundled for the scenario. See :class:`Core`.

    Args:
        sample: whether responses are drawn from their predicted distribution.

    Raises:
        UnknownNameError: an outcome that the simulator doesn't predict.
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """
    scenario = load_scenario(scenario)
    chosen = simulator_for(scenario, simulator)
    if options.outcomes == ALL:
        options = replace(options, outcomes=chosen.further)
    check_names("outcome of the simulator", options.outcomes, chosen.further)
    check_names("outcome of the simulator", further_needs(load_reward(options.reward)), chosen.further)
    return _kind_of(options)(scenario, SimulatedMesh(chosen, sample=sample), options, copies)


def live_core(scenario: str | Path | Scenario, mesh: Mesh, options: Options, copies: int | None = None) -> Core:
    """Make a core over a mesh that sends real traffic; what it doesn't tell of ``"all"`` outcomes is NaN."""
    if options.outcomes == ALL:
        options = replace(options, outcomes=tuple(OUTCOMES)[len(RESPONSE_NAMES) :])
    if options.regret:
        raise InvalidValueError("regret", True, "False on a live mesh", "Nobody knows what its best action is.")
    return _kind_of(options)(load_scenario(scenario), mesh, options, copies)


def _kind_of(options: Options) -> type[Core]:
    """Return who acts: one that sends loads, or one that sets rules."""
    if options.control != RULES_CONTROL:
        if options.continuous:
            raise InvalidValueError("continuous", True, f"False unless the agent controls {RULES_CONTROL!r}")
        return Core
    return DefenceCore

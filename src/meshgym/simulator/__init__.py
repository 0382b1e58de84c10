"""Simulators: the response of a mesh, learned from its traces.

From outside, use the names below, ``training`` (fit a simulator), ``coverage`` (judge its intervals), ``table4`` and
``order`` (compare models), and ``plots``. This room imports the contract of meshes, traces and rewards; nothing of
environments. The names below need only NumPy; the other modules need the extra ``simulator``.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from meshgym.errors import SimulatorError
from meshgym.scenarios import SCENARIO_NAMES, Scenario
from meshgym.simulator.artefact import Identity, Simulator
from meshgym.simulator.mesh import SimulatedMesh
from meshgym.simulator.table import ResponseTable, response_table

__all__ = [
    "Identity",
    "ResponseTable",
    "SimulatedMesh",
    "Simulator",
    "load_simulator",
    "response_table",
    "simulator_for",
]


def load_simulator(simulator: str | Path | Simulator) -> Simulator:
    """Return the simulator bundled for ``"S1"``..``"S5"``, one from a file, or a simulator itself.

    Raises:
        SimulatorError: the file is missing, damaged, edited, or no simulator.
    """
    if isinstance(simulator, Simulator):
        return simulator
    if str(simulator) in SCENARIO_NAMES:
        return _bundled(str(simulator))
    return Simulator.load(simulator)


def simulator_for(scenario: Scenario, simulator: str | Path | Simulator | None = None) -> Simulator:
    """Return the simulator to use with a scenario.

    Args:
        scenario: what is simulated.
        simulator: as for :func:`load_simulator`; None for the one that is bundled for the scenario.

    Raises:
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """
    chosen = load_simulator(scenario.name if simulator is None else simulator)
    chosen.check_fits(scenario)
    return chosen


@cache
def _bundled(name: str) -> Simulator:
    with resources.as_file(resources.files("meshgym") / "data" / "simulators" / f"{name}.npz") as path:
        if not path.is_file():
            raise SimulatorError(
                f"this version bundles no simulator for {name}. Collect traces and fit one: "
                f"meshgym collect --scenario {name}, then meshgym fit --scenario {name} --traces FILE; "
                "or give the path of a simulator file"
            )
        return Simulator.load(path)

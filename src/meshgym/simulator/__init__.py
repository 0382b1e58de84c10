"""Simulators: what a mesh would answer, learned from its traces."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from meshgym.errors import SimulatorError
from meshgym.scenarios import SCENARIO_NAMES
from meshgym.simulator.artefact import Identity, Prediction, Simulator
from meshgym.simulator.mesh import SimulatedMesh
from meshgym.simulator.table import ResponseTable, response_table

__all__ = [
    "Identity",
    "Prediction",
    "ResponseTable",
    "SimulatedMesh",
    "Simulator",
    "load_simulator",
    "response_table",
]


def load_simulator(simulator: str | Path | Simulator) -> Simulator:
    """The bundled simulator of ``"S1"``..``"S5"``, one from a file, or a simulator itself.

    Raises:
        SimulatorError: missing, damaged, edited, or no simulator file.
    """
    if isinstance(simulator, Simulator):
        return simulator
    if str(simulator) in SCENARIO_NAMES:
        return _bundled(str(simulator))
    return Simulator.load(simulator)


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

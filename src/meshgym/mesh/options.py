"""The command-line options that choose a live mesh, the same for every command that measures."""

from __future__ import annotations

import argparse

from meshgym.mesh.base import Mesh
from meshgym.scenarios import Scenario


def add_mesh_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`open_mesh`; without any of them the mesh is the embedded Envoy."""


def open_mesh(chosen: argparse.Namespace, scenario: Scenario) -> Mesh:
    """The mesh that the options of :func:`add_mesh_arguments` choose; a context manager.

    Args:
        chosen: the parsed options.
        scenario: whose service the embedded mesh puts under test.

    Raises:
        MeshGymError: the mesh does not come up, or an option will not do.
    """
    from meshgym.mesh.envoy import EmbeddedMesh  # needs packages that other commands do without

    return EmbeddedMesh(scenario)

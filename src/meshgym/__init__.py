"""Find the load that breaks a service in a mesh, and the traffic rules that hold."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meshgym.envs import LiveIstioEnv, aec_env, parallel_env, register_environments
from meshgym.scenarios import load_scenario
from meshgym.simulator import load_simulator
from meshgym.types import Load, Response, TrafficRules

if TYPE_CHECKING:
    from meshgym.mesh.cluster.mesh import IstioMesh
    from meshgym.mesh.embedded.mesh import EmbeddedMesh
    from meshgym.traces.store import load_traces

__all__ = [
    "EmbeddedMesh",
    "IstioMesh",
    "LiveIstioEnv",
    "Load",
    "Response",
    "TrafficRules",
    "aec_env",
    "load_scenario",
    "load_simulator",
    "load_traces",
    "parallel_env",
]

#: Names whose modules import more than numpy, gymnasium and pettingzoo.
_ON_FIRST_USE = {
    "EmbeddedMesh": "meshgym.mesh.embedded.mesh",
    "IstioMesh": "meshgym.mesh.cluster.mesh",
    "load_traces": "meshgym.traces.store",
}

register_environments()


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module 'meshgym' has no attribute {name!r}")

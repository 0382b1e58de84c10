"""Find the load that breaks a service in a mesh, and the traffic rules that hold."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meshgym.envs.registration import register_environments
from meshgym.scenarios import load_scenario
from meshgym.types import Load, Response, TrafficRules

if TYPE_CHECKING:
    from meshgym.envs.aec import aec_env
    from meshgym.envs.live import LiveIstioEnv
    from meshgym.envs.parallel import parallel_env
    from meshgym.mesh.cluster.mesh import IstioMesh
    from meshgym.mesh.embedded.mesh import EmbeddedMesh
    from meshgym.simulator import load_simulator
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

#: Names whose modules take long to import; the command line's help does without.
_ON_FIRST_USE = {
    "EmbeddedMesh": "meshgym.mesh.embedded.mesh",
    "IstioMesh": "meshgym.mesh.cluster.mesh",
    "LiveIstioEnv": "meshgym.envs.live",
    "aec_env": "meshgym.envs.aec",
    "load_simulator": "meshgym.simulator",
    "load_traces": "meshgym.traces.store",
    "parallel_env": "meshgym.envs.parallel",
}

register_environments()


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module 'meshgym' has no attribute {name!r}")

"""Find the load that breaks a service in a mesh, and the traffic rules that hold."""

from meshgym.envs import LiveIstioEnv, aec_env, parallel_env, register_environments
from meshgym.simulator import load_simulator

__all__ = ["LiveIstioEnv", "aec_env", "load_simulator", "parallel_env"]

register_environments()

"""Environments: one step, in the forms that Gymnasium and PettingZoo know."""

from meshgym.envs.aec import MeshResilienceAECEnv, aec_env
from meshgym.envs.live import LiveIstioEnv
from meshgym.envs.parallel import MeshResilienceParallelEnv, parallel_env
from meshgym.envs.registration import register_environments
from meshgym.envs.single import MeshResilienceEnv
from meshgym.envs.vector import MeshResilienceVectorEnv

__all__ = [
    "LiveIstioEnv",
    "MeshResilienceAECEnv",
    "MeshResilienceEnv",
    "MeshResilienceParallelEnv",
    "MeshResilienceVectorEnv",
    "aec_env",
    "parallel_env",
    "register_environments",
]

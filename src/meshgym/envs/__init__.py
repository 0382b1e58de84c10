"""Environments: one step, in the forms of Gymnasium and PettingZoo.

``core`` has the only step; ``single``, ``vector``, ``parallel``, ``aec`` and ``live`` translate spaces and
dictionaries. From outside, use the names below, ``spaces`` (what an action means) and ``render``. Users call
``gymnasium.make``, :func:`meshgym.parallel_env` and :func:`meshgym.aec_env`. This room imports simulators and the
contract of meshes; of traces, only what ``contexts="traces"`` reads.
"""

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

"""Gymnasium ids. Importing ``meshgym`` registers them, so this imports no environment."""

from __future__ import annotations

import gymnasium as gym

from meshgym.scenarios import SCENARIO_NAMES

#: Steps of an episode (paper, Sec. 8.2: 1000 interactions an epoch).
EPISODE_STEPS = 1000
#: The same of control over time: intervals of an episode in the bundled scenario.
CONTROL_STEPS = 20


def register_environments() -> None:
    """Register ``MeshResilience-S1-v0`` .. ``S5`` and ``LiveIstio-S1-v0`` .. ``S5``.

    ``MeshResilience-v0`` and ``LiveIstio-v0`` take any scenario, ``MeshControl-v0`` and ``LiveMeshControl-v0`` any with
    a section ``[control]``. Gymnasium's wrapper that refuses steps before a reset
    is left out: the environments refuse them with an error that says what to do.
    """
    for name in (None, *SCENARIO_NAMES):
        middle, kwargs = (f"-{name}", {"scenario": name}) if name else ("", {})
        gym.register(
            id=f"MeshResilience{middle}-v0",
            entry_point="meshgym.envs.single:MeshResilienceEnv",
            vector_entry_point="meshgym.envs.vector:MeshResilienceVectorEnv",
            max_episode_steps=EPISODE_STEPS,
            order_enforce=False,
            kwargs=kwargs,
        )
        gym.register(
            id=f"LiveIstio{middle}-v0",
            entry_point="meshgym.envs.live:LiveIstioEnv",
            vector_entry_point="meshgym.envs.live:LiveIstioVectorEnv",
            nondeterministic=True,
            max_episode_steps=EPISODE_STEPS,
            order_enforce=False,
            kwargs=kwargs,
        )
    gym.register(
        id="MeshControl-v0",
        entry_point="meshgym.envs.control_envs:MeshControlEnv",
        vector_entry_point="meshgym.envs.control_envs:MeshControlVectorEnv",
        max_episode_steps=CONTROL_STEPS,
        order_enforce=False,
    )
    gym.register(
        id="LiveMeshControl-v0",
        entry_point="meshgym.envs.control_envs:LiveMeshControlEnv",
        vector_entry_point="meshgym.envs.control_envs:LiveMeshControlVectorEnv",
        nondeterministic=True,
        max_episode_steps=CONTROL_STEPS,
        order_enforce=False,
    )

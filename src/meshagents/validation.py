"""Replays decisions on a live mesh, beside what the simulator said of them (paper, Sec. 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd

import meshgym  # noqa: F401 (registers the environments)
from meshagents.agent import Agent
from meshagents.statistics import mean_interval, ratio_interval
from meshgym.mesh.base import Mesh
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.types import SETTING_NAMES

#: ``progress(done, total)`` after every run.
Progress = Callable[[int, int], None]

_MEASURED = ("qps", "p200", "p503", "reward")


def replay(
    policies: Mapping[str, Agent],
    scenario: Scenario,
    simulator: Simulator,
    mesh: Mesh,
    *,
    control: str = "both",
    reward: str | Reward = "worst_case",
    contexts: int = 25,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Let every policy decide under the same rules, in simulation and on the mesh.

    The policies take turns under each set of rules, in an order drawn anew, so that what the machine does
    over time falls on all of them alike.

    Args:
        policies: by name.
        scenario: whose rules are drawn.
        simulator: of the scenario.
        mesh: a live mesh.
        control: what the policies decide.
        reward: see :func:`meshgym.rewards.load_reward`.
        contexts: sets of rules.
        seed: of the rules and the order.
        progress: called after every run.

    Returns:
        One row for each context and policy: ``context``, ``policy``, the nine settings, and ``qps``,
        ``p200``, ``p503`` and ``reward`` with the suffixes ``_sim`` and ``_live``.

    Raises:
        MeshError: the mesh could not answer.
    """
    about: dict[str, Any] = {"scenario": scenario, "control": control, "reward": reward}
    rng = np.random.default_rng(seed)
    pairs = {
        name: (
            gym.make("MeshResilience-v0", simulator=simulator, **about),
            gym.make("LiveIstio-v0", mesh=mesh, **about),
        )
        for name in policies
    }
    seen = {}
    for name, pair in pairs.items():
        for env in pair:
            seen[name], _ = env.reset(seed=seed)  # one seed, so the same rules for all
    rows = []
    for context in range(contexts):
        for name in rng.permutation(list(policies)):
            action = policies[name].act(seen[name][None])[0]
            (seen[name], said), (_, found) = (_step(env, action) for env in pairs[name])
            rows.append({"context": context, "policy": str(name), **_row(said, found)})
            progress(len(rows), contexts * len(policies))
    return pd.DataFrame(rows)


def _step(env: gym.Env[Any, Any], action: Any) -> tuple[Any, dict[str, Any]]:
    observation, reward, _, _, info = env.step(action)
    return observation, {**info, "reward": reward}


def _row(said: dict[str, Any], found: dict[str, Any]) -> dict[str, float]:
    settings = dict(zip(SETTING_NAMES, [*found["rules"], found["threads"], found["calls"]], strict=True))
    outcomes = {f"{name}_{side}": info[name] for name in _MEASURED for side, info in (("sim", said), ("live", found))}
    return {**settings, **outcomes}


def summary(replayed: pd.DataFrame, baseline: str = "random") -> pd.DataFrame:
    """Mean rewards of each policy and their ratio over the baseline's, simulated and live, with 95 % intervals.

    Args:
        replayed: what :func:`replay` returned.
        baseline: the policy the others are compared with.

    Returns:
        One row a policy; columns ``sim``, ``live`` (rewards), ``sim_ratio``, ``live_ratio``: ``Interval``.
    """
    by_policy = {name: rows.sort_values("context") for name, rows in replayed.groupby("policy", sort=False)}
    table = {}
    for name, rows in by_policy.items():
        table[name] = {side: mean_interval(rows[f"reward_{side}"]) for side in ("sim", "live")}
        for side in ("sim", "live"):
            column = f"reward_{side}"
            table[name][f"{side}_ratio"] = ratio_interval(rows[column], by_policy[baseline][column])
    return pd.DataFrame.from_dict(table, orient="index")

"""Decide under the same contexts with every policy; the decisions are settings to simulate and to measure.

A context is a whole setting drawn from the scenario. Every policy sees its rules. A policy that controls only the
threads also sees its calls, and the other way round. The random baseline takes the setting as it is, so one baseline
serves all policies of a scenario, whatever they control.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meshagents.agent import Agent
from meshagents.policies import FixedAgent, OracleAgent
from meshgym.envs.spaces import Actions
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.types import LOAD_NAMES, RULE_NAMES, SETTING_NAMES

FloatArray = NDArray[np.float64]
#: Settings of each policy under each context, shape (contexts, 9), columns ``SETTING_NAMES``.
Decisions = Mapping[str, FloatArray]

#: The policy that all others are compared with, and the others of :func:`with_yardsticks`.
BASELINE = "random"
FIXED, AGENT, ORACLE = "best fixed action", "agent", "oracle"
#: The best fixed action's name by control, for policies with different controls.
FIXED_FOR = {control: f"best fixed {control}" for control in ("threads", "calls", "both")}
#: Decimals that settings keep in a trace set.
_DECIMALS = 6


def draw_contexts(scenario: Scenario, count: int, seed: int) -> FloatArray:
    """Draw settings of the scenario's rules and actions, all equally likely; shape (count, 9).

    The first ones are the same however many are drawn.
    """
    rng = np.random.default_rng(seed)
    rules = scenario.rule_grid()
    loads = [scenario.actions[name] for name in LOAD_NAMES]
    rows = [[*rules[rng.integers(len(rules))], *(rng.choice(values) for values in loads)] for _ in range(count)]
    drawn: FloatArray = np.array(rows, dtype=np.float64).round(_DECIMALS)
    return drawn


def decide(
    agent: Agent, contexts: FloatArray, scenario: Scenario, control: str, service: int | None = None
) -> FloatArray:
    """Return the settings that an agent decides on, without exploration.

    Args:
        agent: who decides.
        contexts: shape (n, 9).
        scenario: has the actions to choose from.
        control: what the agent chooses: ``"threads"``, ``"calls"`` or ``"both"``.
        service: which service to act for, if the agent has several.

    Returns:
        The contexts with the agent's choices in place, shape (n, 9).

    Raises:
        UnknownNameError: no such control.
    """
    actions = Actions(scenario, control)
    frame = pd.DataFrame(contexts, columns=list(SETTING_NAMES))
    seen = frame[[*RULE_NAMES, *filter(None, [actions.free])]].to_numpy()
    chosen = actions.batch_choices(agent.act(seen, service=service), len(frame))
    for name, choice in chosen.items():
        frame[name] = np.array(actions.values[name], dtype=np.float64)[choice]
    return frame.to_numpy()


def with_yardsticks(
    agent: Agent,
    fixed_action: Any,
    contexts: FloatArray,
    simulator: Simulator,
    scenario: Scenario,
    control: str,
    service: int | None = None,
    reward: str | Reward = "worst_case",
) -> Decisions:
    """Return the decisions of an agent's best epoch, and those of random, best fixed action and oracle.

    Args:
        fixed_action: see :class:`meshagents.training.evaluation.Evaluation`.
        simulator: the oracle's.
        reward: what the oracle maximises.
        agent, contexts, scenario, control, service: see :func:`decide`.
    """
    policies = {
        FIXED: FixedAgent(fixed_action),
        AGENT: agent.best(),
        ORACLE: OracleAgent(simulator, scenario, control, reward),
    }
    decided = {name: decide(policy, contexts, scenario, control, service) for name, policy in policies.items()}
    return {BASELINE: contexts, **decided}

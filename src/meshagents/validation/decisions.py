"""What policies decide under the same contexts, as settings that can be simulated and measured.

A context is a whole setting drawn from the scenario. Its rules are what every policy meets; a policy that controls
one load setting meets the other one, too; and the random baseline plays it as it stands. So one baseline serves all
policies of a scenario, whatever they control.
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
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.types import LOAD_NAMES, RULE_NAMES, SETTING_NAMES

FloatArray = NDArray[np.float64]
#: Settings of each policy under each context, shape (contexts, 9), columns ``SETTING_NAMES``.
Decisions = Mapping[str, FloatArray]

#: The policy that all others are compared with, and the others of :func:`with_yardsticks`.
BASELINE = "random"
FIXED, AGENT, ORACLE = "best fixed action", "agent", "oracle"
#: Decimals that settings keep in the file of a collection.
_DECIMALS = 6


def draw_contexts(scenario: Scenario, count: int, seed: int) -> FloatArray:
    """Settings of the scenario's rules and actions, all equally likely, shape (count, 9).

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
    """The settings that come of an agent's decisions, without exploration.

    Args:
        agent: who decides.
        contexts: shape (n, 9).
        scenario: whose actions it chooses from.
        control: what it chooses: ``"threads"``, ``"calls"`` or ``"both"``.
        service: of an agent of several services, the one to act for.

    Returns:
        The contexts with what the agent chose put in, shape (n, 9).

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
) -> Decisions:
    """The decisions of an agent's best epoch, and beside them those of random, fixed action and oracle.

    Args:
        fixed_action: see :class:`meshagents.training.evaluation.Evaluation`.
        simulator: the oracle's.
        agent, contexts, scenario, control, service: see :func:`decide`.
    """
    policies = {
        FIXED: FixedAgent(fixed_action),
        AGENT: agent.best(),
        ORACLE: OracleAgent(simulator, scenario, control),
    }
    decided = {name: decide(policy, contexts, scenario, control, service) for name, policy in policies.items()}
    return {BASELINE: contexts, **decided}

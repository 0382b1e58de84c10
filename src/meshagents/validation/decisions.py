"""What policies decide under the same contexts, as settings that can be simulated and measured.

A context is a whole setting drawn from the scenario. Every policy meets its rules. A policy that controls one field
of the load meets the other one, too. The random baseline plays the context as it is, so one baseline serves all
policies of a scenario, whatever they control.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meshagents.agent import Agent
from meshgym.envs.spaces import Actions
from meshgym.scenarios import Scenario

FloatArray = NDArray[np.float64]
#: Settings of each policy under each context, shape (contexts, columns), columns as the scenario's ``setting_names``.
Decisions = Mapping[str, FloatArray]

#: The policy that all others are compared with, and the others.
BASELINE = "random"
FIXED, AGENT, ORACLE = "best fixed action", "agent", "oracle"
#: Decimals that settings keep in the file of a collection.
_DECIMALS = 6


def draw_contexts(scenario: Scenario, count: int, seed: int) -> FloatArray:
    """Draw settings from the scenario's rules and actions, all equally likely; return shape (count, columns).

    The first ones are the same however many are drawn.
    """
    rng = np.random.default_rng(seed)
    rules = scenario.rule_grid()
    loads = [scenario.actions[name] for name in scenario.load_names]
    rows = [[*rules[rng.integers(len(rules))], *(rng.choice(values) for values in loads)] for _ in range(count)]
    drawn: FloatArray = np.array(rows, dtype=np.float64).round(_DECIMALS)
    return drawn


def decide(agent: Agent, contexts: FloatArray, scenario: Scenario, control: str, service: int = 0) -> FloatArray:
    """Return the settings that an agent decides on, without exploration.

    Args:
        agent: who decides.
        contexts: shape (n, columns).
        scenario: has the actions to choose from.
        control: what the agent chooses: ``"threads"``, ``"calls"`` or ``"both"``.
        service: which of the agent's services to act for.

    Returns:
        The contexts with the agent's choices put in, shape (n, columns).

    Raises:
        UnknownNameError: no such control.
    """
    actions = Actions(scenario, control)
    frame = pd.DataFrame(contexts, columns=list(scenario.setting_names))
    seen = frame[[*scenario.rule_names, *filter(None, [actions.free])]].to_numpy()
    chosen = actions.batch_choices(agent.act(seen, service=service), len(frame))
    for name, choice in chosen.items():
        frame[name] = np.array(actions.values[name], dtype=np.float64)[choice]
    return frame.to_numpy()

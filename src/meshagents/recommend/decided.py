"""The load that an agent decides on under given rules, to be tested like any other."""

from __future__ import annotations

import numpy as np

from meshagents.recommend.inputs import read_rules
from meshagents.recommend.request import Request
from meshagents.training.tasks import Task
from meshagents.training.trained import Decider
from meshagents.validation.decisions import decide
from meshgym.errors import InvalidValueError
from meshgym.rules.policy import traffic_rules


def decided_load(decider: Decider, task: Task, request: Request) -> str:
    """Return the load as an option has it, such as ``threads=4,calls=400``.

    Args:
        decider: an agent that decides both load fields.
        task: scenario and simulator.
        request: has the rules.

    Raises:
        InvalidValueError: there are no rules, or some that the scenario doesn't vary over; or the agent decides less.
    """
    scenario = task.load_scenario()
    given = read_rules(request, scenario)
    if given is None or request.load:
        raise InvalidValueError("--agent", decider.configuration.name, "with --rules and without --load")
    if decider.configuration.control(scenario) != "both":
        raise InvalidValueError("--agent", decider.configuration.name, "an agent that decides threads and calls")
    rules = traffic_rules(given.policy, scenario.rule_names)
    start = [scenario.actions[name][0] for name in scenario.load_names]
    context = np.array([[*(getattr(rules, name) for name in scenario.rules), *start]], dtype=np.float64)
    (setting,) = decide(decider.agent, context, scenario, "both")
    load = setting[len(scenario.rules) :]
    return ",".join(f"{name}={value:g}" for name, value in zip(scenario.load_names, load, strict=True))

"""The Val columns of Table 5: the decisions of all its cells measured on live meshes, scenario by scenario."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from meshagents.experiments.jobs import DECISIONS, ROW, groups, label
from meshagents.experiments.table5 import Table5, in_order
from meshagents.policies import FixedAgent
from meshagents.validation.decisions import AGENT, BASELINE, FIXED, Decisions, FloatArray, decide, draw_contexts
from meshagents.validation.validate import Validated, Validator
from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario


def run(experiment: Table5, frame: pd.DataFrame, validator: Validator) -> list[Validated]:
    """Measure the decisions of the records' best epochs.

    All cells of a scenario are measured under the same contexts. They share the random baseline, and every setting on
    which they agree. The agents of a cell's seeds take turns deciding its contexts.

    Args:
        experiment: has the tasks that were trained on.
        frame: what :func:`meshagents.experiments.table5.run` returned.
        validator: measures at most ``DECISIONS`` contexts; its seed is that of the order alone.

    Returns:
        One for each scenario. Its policies are the table's rows, the baseline and the best fixed actions; the column
        ``kind`` of ``replayed`` tells them apart.

    Raises:
        InvalidValueError: more contexts than the records have decisions for.
        MeshGymError: as :meth:`meshagents.validation.validate.Validator.validate`.
    """
    count = validator.measuring.contexts
    if count > DECISIONS:
        raise InvalidValueError("contexts", count, f"2..{DECISIONS}")
    tasks = {task.name: task for task in experiment.tasks}
    found = []
    for name, records in frame.groupby("scenario", sort=False):
        task = tasks[str(name)]
        contexts = draw_contexts(task.load_scenario(), count, seed=0)
        chosen, fixed = _decisions(experiment, records, task.load_scenario(), contexts)
        one = validator.validate({BASELINE: contexts, **fixed, **chosen}, task)
        kinds = {BASELINE: BASELINE, **dict.fromkeys(fixed, FIXED), **dict.fromkeys(chosen, AGENT)}
        found.append(replace(one, replayed=one.replayed.assign(kind=one.replayed["policy"].map(kinds))))
    return found


def _decisions(
    experiment: Table5, records: pd.DataFrame, scenario: Scenario, contexts: FloatArray
) -> tuple[Decisions, Decisions]:
    """Return the decisions of every row, and of the best fixed action of each kind of control."""
    chosen, fixed = {}, {}
    for (name, services), trainings in groups(in_order(records), ROW):
        control = experiment.control(name, scenario)
        always = FixedAgent(trainings["fixed_action"].iloc[0])
        fixed[f"best fixed {control}"] = decide(always, contexts, scenario, control)
        in_turn = [trainings["decisions"].iloc[context % len(trainings)][context] for context in range(len(contexts))]
        chosen[label(name, services)] = np.array(in_turn)
    return chosen, fixed

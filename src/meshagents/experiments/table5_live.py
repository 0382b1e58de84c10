"""The Val columns of Table 5: measure the decisions of all its cells on live meshes, scenario by scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meshagents.experiments.jobs import DECISIONS
from meshagents.experiments.table5 import Table5, in_order
from meshagents.policies import FixedAgent
from meshagents.training.configurations import label, load_configuration
from meshagents.validation.decisions import BASELINE, FIXED_FOR, Decisions, decide, draw_contexts
from meshagents.validation.measure import Bar, OpenMesh, embedded, no_bar
from meshagents.validation.validate import Validated, Validation, validate
from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario


def run(
    table: Table5,
    frame: pd.DataFrame,
    folder: Path,
    validation: Validation,
    open_mesh: OpenMesh = embedded,
    bar: Bar = no_bar,
) -> list[Validated]:
    """Measure the decisions of the records' best epochs, unless ``folder`` holds them already.

    All cells of a scenario are measured under the same contexts. They share the random baseline, and any setting on
    which they agree. The agents of a cell's seeds take turns: each decides every n-th context.

    Args:
        table: what was trained.
        frame: what :func:`meshagents.experiments.table5.run` returned.
        folder: where measurements are kept, one folder per scenario.
        validation: how much to measure, with at most ``DECISIONS`` contexts; its ``seed`` sets the order.
        open_mesh: opens a scenario's live mesh.
        bar: shows the progress of a scenario.

    Returns:
        One per scenario. Its policies are the rows of the table, the baseline and the best fixed actions.

    Raises:
        InvalidValueError: more contexts than the records have decisions for.
        MeshGymError: as :func:`meshagents.validation.validate.validate`.
    """
    if validation.contexts > DECISIONS:
        raise InvalidValueError("contexts", validation.contexts, f"2..{DECISIONS}")
    found = []
    for task in table.tasks:
        records = frame[frame["scenario"] == task.name]
        if len(records):
            scenario = task.load_scenario()
            decisions = _decisions(in_order(records), scenario, validation.contexts)
            with open_mesh(scenario) as mesh, bar(f"validate {task.name}", "runs") as progress:
                part = folder / task.name
                found.append(validate(decisions, task, part, validation, mesh=mesh, progress=progress))
    return found


def _decisions(records: pd.DataFrame, scenario: Scenario, count: int) -> Decisions:
    """Return the decisions of every row of the table, and of the best fixed action of each control."""
    contexts = draw_contexts(scenario, count, seed=0)
    chosen, fixed = {}, {}
    groups: Any = records.groupby(["configuration", "services"], sort=False)
    for (configuration, services), part in groups:
        control = load_configuration(configuration).control
        fixed[FIXED_FOR[control]] = decide(FixedAgent(part["fixed_action"].iloc[0]), contexts, scenario, control)
        in_turn = [part["decisions"].iloc[context % len(part)][context] for context in range(count)]
        chosen[label(configuration, services)] = np.array(in_turn)
    return {BASELINE: contexts, **fixed, **chosen}

"""The Val columns of Table 5: the decisions of all its cells measured on live meshes, scenario by scenario."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from meshagents.experiments.jobs import DECISIONS
from meshagents.experiments.table5 import Table5, place
from meshagents.policies import FixedAgent
from meshagents.training.configurations import load_configuration
from meshagents.validation.decisions import BASELINE, Decisions, decide, draw_contexts
from meshagents.validation.measure import Bar, OpenMesh, embedded, no_bar
from meshagents.validation.validate import Validated, Validation, validate
from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario, load_scenario


def run(
    settings: Table5,
    frame: pd.DataFrame,
    folder: Path,
    validation: Validation,
    open_mesh: OpenMesh = embedded,
    bar: Bar = no_bar,
) -> list[Validated]:
    """Measure the decisions of the records' best epochs, as far as ``folder`` does not hold them already.

    All cells of a scenario are measured under the same contexts and share the random baseline, and so they do a
    setting on which they agree. A cell's contexts are decided by its seeds' agents in turn.

    Args:
        settings: whose services were trained on.
        frame: what :func:`meshagents.experiments.table5.run` returned.
        folder: of the measurements, a folder a scenario.
        validation: how much to measure; its ``contexts`` are at most ``DECISIONS``, its ``seed`` is that of the order.
        open_mesh: gives a scenario's live mesh.
        bar: shows the progress of a scenario.

    Returns:
        One for each scenario; its policies are the labels, the baseline and the best fixed actions.

    Raises:
        InvalidValueError: more contexts than the records have decisions for.
        MeshGymError: as :func:`meshagents.validation.validate.validate`.
    """
    if validation.contexts > DECISIONS:
        raise InvalidValueError("contexts", validation.contexts, f"2..{DECISIONS}")
    services = {service.name: service for service in settings.services}
    found = []
    for name, records in frame.groupby("scenario", sort=False):
        service = services[str(name)]
        scenario = load_scenario(service.scenario)
        decisions = _decisions(records, scenario, validation.contexts)
        with open_mesh(scenario) as mesh, bar(f"validate {name}", "runs") as progress:
            found.append(validate(decisions, service, folder / str(name), validation, mesh=mesh, progress=progress))
    return found


def _decisions(records: pd.DataFrame, scenario: Scenario, count: int) -> Decisions:
    """Those of every label, and of the best fixed action of each kind of control."""
    contexts = draw_contexts(scenario, count, seed=0)
    chosen, fixed = {}, {}
    for label, runs in sorted(records.groupby("label", sort=False), key=lambda pair: place(str(pair[0]))):
        control = load_configuration(str(label).partition("*")[0]).control
        always = FixedAgent(runs["fixed_action"].iloc[0])
        fixed[f"best fixed {control}"] = decide(always, contexts, scenario, control)
        in_turn = [runs["decisions"].iloc[context % len(runs)][context] for context in range(count)]
        chosen[str(label)] = np.array(in_turn)
    return {BASELINE: contexts, **fixed, **chosen}

"""What several commands of ``meshagents`` do alike: read agents and tasks, show evaluations, open meshes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from meshagents.cli.options import FromOutside
from meshgym.cli.mesh_options import ClusterOptions, open_mesh
from meshgym.errors import InvalidValueError, SloError

if TYPE_CHECKING:
    import pandas as pd

    from meshagents.training.evaluation import Evaluation
    from meshagents.training.tasks import Task
    from meshagents.training.trained import Decider
    from meshagents.validation.measure import OpenMesh


def read_decider(text: str, outside: FromOutside | None) -> Decider:
    """Return the agent of a file of our own, or one from outside and its task."""
    from meshagents.outside.judged import Decides, Outside
    from meshagents.training.trained import load_trained

    if outside is None or outside.task is None:
        if text.endswith((".zip", ".onnx")) or (":" in text and not Path(text).exists()):
            raise InvalidValueError("--task", None, "S1..S5 or a .toml file", "An agent from outside needs it.")
        return load_trained(text)
    (task,) = read_tasks([outside.task])
    return Outside(text, task, Decides(Path(text).stem, outside.control), outside.normalised)


def read_tasks(texts: Sequence[str]) -> tuple[Task, ...]:
    """Read ``SCENARIO`` or ``SCENARIO=SIMULATOR``."""
    from meshagents.training.tasks import Task

    pairs = (text.partition("=") for text in texts)
    return tuple(Task(scenario, simulator or None) for scenario, _, simulator in pairs)


def as_table(tasks: Sequence[Task], evaluations: Sequence[Evaluation]) -> str:
    """Return the rewards of random, best fixed, agent and oracle, and the agent's share, a row per task."""
    import pandas as pd

    rows = [
        {name: f"{getattr(found, name):.4g}" for name in ("random", "fixed", "agent", "oracle")}
        | {"share of the oracle": f"{found.share:.2%}"}
        for found in evaluations
    ]
    return pd.DataFrame(rows, index=[task.name for task in tasks]).to_string()


def live_mesh(cluster: ClusterOptions | None) -> OpenMesh:
    """Open the cluster's mesh; leave embedded meshes to those who measure, one per lane."""
    from meshagents.validation.measure import embedded

    return partial(open_mesh, cluster) if cluster else embedded


def judge_objectives(table: pd.DataFrame, slo: Sequence[str]) -> None:
    """Print how often objectives are kept.

    Raises:
        SloError: the agent's loads don't keep them often enough.
    """
    from meshagents.report.text import objectives_table
    from meshagents.statistics import markdown
    from meshagents.validation.decisions import AGENT
    from meshgym.slo.objective import KEPT

    for scenario, own in table.groupby("scenario", sort=False):
        print(f"\n{scenario}: how often {', '.join(slo)} is kept\n{markdown(objectives_table(own))}")
    agents = table[table["policy"] == AGENT]
    if broken := agents.loc[agents["share"] < KEPT, "scenario"].tolist():
        raise SloError(
            f"the agent's loads don't keep {', '.join(slo)} in {KEPT:.0%} of the runs of {', '.join(broken)}"
        )

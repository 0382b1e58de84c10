"""The tasks of the benchmark, and the methods that play each kind.

A new task is a row of :data:`TASKS` and a new :data:`meshagents.benchmark.budgets.VERSION`; a new kind is a file with
its task and its methods, and a row of :data:`METHODS`.
"""

from __future__ import annotations

from meshagents.benchmark import control, environments, few, games, searches, services
from meshagents.benchmark.kinds import BenchmarkTask, Method
from meshgym.scenarios import SCENARIO_NAMES

_ATTACK, _DEFEND = {"control": "both"}, {"control": "rules", "reward": "best_case"}
_ALL: list[BenchmarkTask] = [
    *(environments.EnvTask(f"attack-{name}", name, _ATTACK) for name in SCENARIO_NAMES),
    *(environments.EnvTask(f"unseen-{name}", name, _ATTACK, held_out=True) for name in ("S1", "S3", "S4")),
    *(environments.EnvTask(f"defend-{name}", name, _DEFEND) for name in ("S1", "S2")),
    *(services.ServicesTask(f"pair-{name}", (name,)) for name in ("S2", "S4")),
    services.ServicesTask("five-services", SCENARIO_NAMES),
    *(games.GameTask(f"game-{name}", name) for name in ("S1", "S2", "S3", "S4")),
    *(searches.SearchTask(f"search-{name}", name) for name in SCENARIO_NAMES),
    *(few.FewRunsTask(f"few-{name}", name) for name in ("S1", "S3")),
    *(few.FewRunsTask(f"transfer-{one}-{other}", other, one) for one, other in (("S1", "S2"), ("S3", "S4"))),
    *(control.ControlTask(f"control-{name}", name) for name in ("constant", "daily", "burst", "ramp")),
]
#: All tasks, by name.
TASKS: dict[str, BenchmarkTask] = {task.name: task for task in _ALL}
#: By kind of task and name. The first is what chance gets, the second a fixed choice where there is one.
METHODS: dict[str, dict[str, Method]] = {
    "environment": environments.METHODS,
    "pairs": services.METHODS,
    "game": games.METHODS,
    "search": searches.METHODS,
    "few runs": few.METHODS,
    "transfer": few.TRANSFER_METHODS,
    "control": control.METHODS,
}

"""The whole of a recommendation: from what a command line gives to files that can be applied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from meshagents.recommend.inputs import read_load, read_names, read_rules
from meshagents.recommend.output import Report
from meshagents.recommend.request import Request
from meshagents.recommend.search import recommend
from meshagents.training.tasks import Task
from meshagents.validation.measure import Bar, no_bar
from meshgym.files import make_folder
from meshgym.mesh.base import Mesh
from meshgym.mesh.destination_rule import DestinationRule
from meshgym.mesh.urls import check_url
from meshgym.scenarios import Scenario


def advise(
    task: Task, request: Request, folder: Path | None, open_mesh: Callable[[Scenario], Mesh], bar: Bar = no_bar
) -> tuple[Report, list[Path]]:
    """Find rules or loads, measure them if wanted, and write the recommendation.

    Args:
        task: scenario and simulator.
        request: what to recommend.
        folder: where to write; None for recommendations/SCENARIO.
        open_mesh: opens the live mesh.
        bar: shows progress.

    Returns:
        The recommendation and the files written. Measurements made before an error are written, too.

    Raises:
        MeshGymError: a value that can't be read, no usable simulator, a folder that can't be written, or a mesh that
            fails.
    """
    scenario, simulator = task.load_scenario(), task.load_simulator()
    given = read_rules(request.rules, scenario) if request.rules else None
    names = read_names(request.name, request.namespace, request.host, given)
    loads = [read_load(text) for text in request.load]
    url = request.url or f"http://{names['host']}:8000/get"
    check_url("url of the load (--url)", url)
    folder = make_folder(folder or Path("recommendations") / scenario.name)
    rules = given.rules if isinstance(given, DestinationRule) else given
    with bar("search", "loads") as progress:
        advice = recommend(
            simulator, scenario, rules, loads, criterion=request.criterion, seed=request.seed, progress=progress
        )
    report = Report(advice, DestinationRule(**names, rules=advice.rules), url, simulator.identity)
    try:
        if request.measure:
            with open_mesh(scenario) as mesh, bar("measure", "runs") as progress:
                report.measure(mesh, request.repeats, progress)
    finally:
        paths = report.write(folder)
    return report, paths

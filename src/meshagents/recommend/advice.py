"""The whole of a recommendation: from what a command line gives to files that can be applied."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from meshagents.recommend.curve import Curve, curve
from meshagents.recommend.direct import search_directly
from meshagents.recommend.inputs import Given, read_load, read_names, read_rules
from meshagents.recommend.output import Change, Report
from meshagents.recommend.outside import fixed_otherwise, in_words, nearest_rules, outside_traces
from meshagents.recommend.request import Place, Request
from meshagents.recommend.search import Recommendation, all_loads, expect, recommend
from meshagents.recommend.within import find_within
from meshagents.training.tasks import Task
from meshagents.validation.measure import Bar, no_bar
from meshgym.errors import OutsideError, SloError
from meshgym.files import make_folder
from meshgym.mesh.base import Mesh
from meshgym.rules.destination_rule import DestinationRule
from meshgym.rules.policy import given_rules, merge, traffic_rules
from meshgym.rules.route import route_rules
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator
from meshgym.slo.objective import KEPT, read_slo
from meshgym.types import Load
from meshgym.urls import check_url


def advise(
    task: Task,
    request: Request,
    folder: Path | None,
    open_mesh: Callable[[Scenario], Mesh],
    bar: Bar = no_bar,
    place: Place | None = None,
) -> tuple[Report, list[Path]]:
    """Find rules or loads, measure them if wanted, and write the recommendation.

    Args:
        task: scenario and simulator.
        request: what to recommend.
        folder: where to write; None for recommendations/SCENARIO.
        open_mesh: opens the live mesh.
        bar: shows progress.
        place: where in a cluster it goes; None outside one.

    Returns:
        The recommendation and the files written. Measurements made before an error are written, too.

    Raises:
        OutsideError: what is asked for lies outside the traces; the files are written, without a number.
        SloError: nothing is certain enough to keep the objectives, or they weren't kept when measured.
        MeshGymError: a value that can't be read, no usable simulator, a folder that can't be written, or a mesh that
            fails.
    """
    scenario = task.load_scenario()
    given = read_rules(request, scenario)
    names = read_names(request, given, place)
    loads = tuple(read_load(text, scenario.load_names) for text in request.load)
    url = place.url if place else request.url or f"http://{names['host'].strip('*.')}:8000/get"
    check_url("url of the load (--url)", url)
    folder = make_folder(folder or Path("recommendations") / scenario.name)
    simulator = None
    if request.direct and given:
        with open_mesh(replace(scenario, base=given.policy)) as mesh, bar("search", "runs") as progress:
            asked = given_rules(given.policy)
            advice = search_directly(mesh, scenario, asked, request.direct, folder, request.seed, progress)
    else:
        simulator = task.load_simulator()
        advice = _predicted(simulator, scenario, given, loads, request, bar)
    policy = given.policy if given else scenario.policy(advice.rules)
    if place:
        spec = merge(place.rule.spec, {"trafficPolicy": policy})
        rule = replace(place.rule, spec=spec)
    elif given and given.chosen:
        rule = DestinationRule(names["name"], names["namespace"], given.chosen.rule.spec)
    else:
        rule = DestinationRule.of(**names, rules=advice.rules, base=scenario.base)
    said = given.chosen.said if given and given.chosen else ()
    change = Change(place.rule, policy) if place else None
    identity = simulator.identity if simulator else None
    drawn = _drawn(simulator, scenario, given, advice) if simulator else None
    report = Report(advice, rule, url, scenario.name, identity, said, change, drawn)
    try:
        if request.measure or request.direct:
            with open_mesh(replace(scenario, base=policy)) as mesh, bar("measure", "runs") as progress:
                asked = given_rules(policy).replace(**route_rules(advice.rules).to_dict())
                report.measure(mesh, asked, request.repeats, progress)
    finally:
        paths = report.write(folder)
    if not report.runs and any(expected.qps is None for expected in advice.expected):
        raise OutsideError(_beyond(outside_traces(scenario, policy, loads), task, advice, request))
    if advice.within and report.runs and report.kept < KEPT * len(report.runs):
        raise SloError(f"the objectives were kept in {report.kept} of {len(report.runs)} runs; see {paths[0].parent}")
    return report, paths


def _predicted(
    simulator: Simulator, scenario: Scenario, given: Given | None, loads: tuple[Load, ...], request: Request, bar: Bar
) -> Recommendation:
    rules = traffic_rules(given.policy, scenario.rule_names) if given else None
    fixed = not (given and fixed_otherwise(scenario, given.policy))
    with bar("search", "loads") as progress:
        if request.slo and fixed:
            slo = read_slo(request.slo)
            rules, within = find_within(simulator, scenario, slo, rules, loads, seed=request.seed, progress=progress)
            expected = tuple(expect(simulator, rules, list(dict.fromkeys(loads)) or [within.load]))
            return Recommendation(rules, expected, len(loads or all_loads(scenario)), None, within=within)
        return recommend(
            simulator,
            scenario,
            rules,
            loads,
            fixed=fixed,
            criterion=request.criterion,
            seed=request.seed,
            progress=progress,
        )


def _drawn(simulator: Simulator, scenario: Scenario, given: Given | None, advice: Recommendation) -> Curve | None:
    """Return what is expected over the load; None if the traces hold other rules fixed otherwise."""
    if given and fixed_otherwise(scenario, given.policy):
        return None
    load = advice.within.load if advice.within else advice.expected[0].load
    return curve(simulator, scenario, advice.rules, load)


def _beyond(fields: list[str], task: Task, advice: Recommendation, request: Request) -> str:
    """Say why there is no number, what is nearest, and how to get one."""
    near = nearest_rules(task.load_scenario(), advice.rules).to_dict()
    nearest = ", ".join(f"{name} {in_words(value)}" for name, value in near.items())
    options = [*(("--rules", request.rules) if request.rules else ()), *(f"--load={text}" for text in request.load)]
    chosen = {"--host": request.host, "--subset": request.subset, "--port": request.port}
    options += [f"{name}={value}" for name, value in chosen.items() if value is not None]
    command = shlex.join(["meshagents", "recommend", task.title, *options, "--measure"])
    why = f"no number, because this was not measured: {'; '.join(fields)}"
    return f"{why}. The nearest rules that were: {nearest}. Measure it with: {command}"

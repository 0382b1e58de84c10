"""What each command of ``meshagents`` does; its options are in :mod:`meshagents.cli.main`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from meshgym.cli.console import progress_bar
from meshgym.cli.mesh_options import cluster_arguments, open_mesh
from meshgym.files import make_folder
from meshgym.scenarios import load_scenario

if TYPE_CHECKING:
    from meshagents.learners.hyperparameters import Hyperparameters
    from meshagents.training.evaluation import Evaluation
    from meshagents.training.tasks import Task
    from meshagents.training.trained import Trained
    from meshagents.validation.measure import OpenMesh
    from meshagents.validation.validate import Validation


def quickstart(chosen: argparse.Namespace) -> None:
    from meshagents.cli.quickstart import Quickstart, quickstart

    names = {field.name for field in fields(Quickstart)}
    settings = Quickstart(**{name: value for name, value in vars(chosen).items() if name in names})
    usual = Path("quickstart") / f"{Path(settings.scenario).stem}-{settings.seed}"
    folder = make_folder(getattr(chosen, "out", usual))
    started = time.monotonic()
    findings = quickstart(settings, folder, progress_bar)
    print(f"\nMean reward (503s a second) and ratio over random, with 95 % intervals, {settings.contexts} rules:\n")
    print(findings.table.map(str).to_string())
    share = findings.evaluation.share
    print(f"\nOn all {findings.evaluation.contexts} contexts, simulated: {share:.1%} of the oracle's reward.")
    print(f"\n{findings.decision}\n\nAll of it on a page: {folder / 'report.html'}")
    print(f"Took {time.monotonic() - started:.0f} s.")


def _services(chosen: argparse.Namespace) -> tuple[Task, ...]:
    return tuple(_service(text) for text in chosen.services)


def _service(text: str) -> Task:
    from meshagents.training.tasks import Task

    scenario, _, simulator = text.partition("=")
    return Task(scenario, simulator or None)


def _config(chosen: argparse.Namespace) -> Hyperparameters:
    from meshagents.learners.hyperparameters import Hyperparameters

    return Hyperparameters.from_dict({} if chosen.epochs is None else {"epochs": chosen.epochs}, chosen.preset)


def train(chosen: argparse.Namespace) -> None:
    from meshagents.report.cards import write_run
    from meshagents.training.configurations import load_configuration
    from meshagents.training.train import train_agent
    from meshagents.training.trained import evaluate_trained

    configuration, services, hyperparameters = (
        load_configuration(chosen.configuration),
        _services(chosen),
        _config(chosen),
    )
    make_folder(chosen.out.parent)
    with progress_bar("train", "epochs") as progress:
        trained = train_agent(
            configuration,
            services,
            hyperparameters,
            chosen.seed,
            path=chosen.out,
            progress=lambda history: progress(len(history), hyperparameters.epochs),
        )
    evaluations = evaluate_trained(trained)
    write_run(chosen.out, configuration, services, trained.agent, trained.history, evaluations)
    _show(services, evaluations)
    print(chosen.out)


def evaluate(chosen: argparse.Namespace) -> None:
    from meshagents.training.trained import evaluate_trained, load_trained

    trained = _as_named(load_trained(chosen.agent), chosen)
    _show(trained.tasks, evaluate_trained(trained))


def _as_named(trained: Trained, chosen: argparse.Namespace) -> Trained:
    """Return the agent with the configuration and services that were named; refuse others than its own kind."""
    from meshagents.training.configurations import load_configuration

    return replace(trained, configuration=load_configuration(chosen.configuration), tasks=_services(chosen))


def _show(services: Sequence[Task], evaluations: Sequence[Evaluation]) -> None:
    print(f"{'service':<10}{'random':>10}{'fixed':>10}{'agent':>10}{'oracle':>10}{'share of the oracle':>22}")
    for service, found in zip(services, evaluations, strict=True):
        rewards = "".join(f"{value:>10.4g}" for value in (found.random, found.fixed, found.agent, found.oracle))
        print(f"{service.name:<10}{rewards}{found.share:>22.2%}")


def validate(chosen: argparse.Namespace) -> None:
    from meshagents.report.cards import MEASURED, write_validation
    from meshagents.training.trained import evaluate_trained, load_trained
    from meshagents.validation.validate import summary, validate_agent

    trained, settings = _as_named(load_trained(chosen.agent), chosen), _validation(chosen)
    agent, configuration, services = trained.agent, trained.configuration, trained.tasks
    evaluations = evaluate_trained(trained)
    folder = make_folder(chosen.out)
    found = validate_agent(
        agent, configuration, services, evaluations, folder / MEASURED, settings, _live_mesh(chosen), progress_bar
    )
    gaps = write_validation(folder, configuration.name, settings, services, found)
    for one in found:
        print(f"{one.scenario}: mean reward (503s a second) and ratio over random, with 95 % intervals")
        print(f"{summary(one.replayed).map(str).to_string()}\n")
    print("\n".join([*gaps, f"\n{folder}"]))


def _validation(chosen: argparse.Namespace, seed: int | None = None) -> Validation:
    from meshagents.validation.validate import Validation

    return Validation(chosen.contexts, chosen.repeats, chosen.seed if seed is None else seed, chosen.lanes)


def _live_mesh(chosen: argparse.Namespace) -> OpenMesh:
    """Opens the cluster that was chosen; leaves embedded meshes to those who measure, each lane one of its own."""
    from meshagents.validation.measure import embedded

    return partial(open_mesh, chosen) if cluster_arguments(chosen) else embedded


def table5(chosen: argparse.Namespace) -> None:
    from meshagents.experiments import table5, table5_live
    from meshagents.experiments.output import write_table5
    from meshagents.report.cards import MEASURED, write_card, write_validation

    settings = table5.Table5(
        _services(chosen), chosen.seeds, _config(chosen), tuple(chosen.configurations), tuple(chosen.scenarios)
    )
    measuring = _validation(chosen, seed=0)
    folder = make_folder(chosen.out)
    with progress_bar("table 5", "runs") as progress:
        frame = table5.run(settings, folder / "runs", chosen.jobs, chosen.backend, progress)
    found = []
    if chosen.validate:
        found = table5_live.run(settings, frame, folder / MEASURED, measuring, _live_mesh(chosen), progress_bar)
        services = {service.name: service for service in settings.services}
        measured = [services[one.scenario] for one in found]
        write_validation(folder, "Table 5", measuring, measured, found)
    about = {"seeds": settings.seeds, "hyperparameters": settings.hyperparameters.to_dict()}
    write_card(folder / "table5.json", "table5", settings.services, about)
    print(write_table5(frame, folder, found))


def report(chosen: argparse.Namespace) -> None:
    from meshagents.report.page import write_report

    print(write_report(chosen.path))


def recommend(chosen: argparse.Namespace) -> None:
    from meshagents.recommend.inputs import read_load, read_names, read_rules
    from meshagents.recommend.measure import measure
    from meshagents.recommend.output import Report, markdown
    from meshagents.recommend.search import recommend
    from meshgym.mesh.manifest import DestinationRule

    service = _service(chosen.service)
    scenario, simulator = load_scenario(service.scenario), service.load_simulator()
    given = read_rules(chosen.rules, scenario) if chosen.rules else None
    names = read_names(chosen.name, chosen.namespace, chosen.host, given)
    loads = [read_load(text) for text in chosen.load]
    folder = make_folder(chosen.out or Path("recommendations") / scenario.name)
    rules = given.rules if isinstance(given, DestinationRule) else given
    with progress_bar("search", "loads") as progress:
        advice = recommend(
            simulator, scenario, rules, loads, criterion=chosen.criterion, seed=chosen.seed, progress=progress
        )
    url = chosen.url or f"http://{names['host']}:8000/get"
    report = Report(advice, DestinationRule(**names, rules=advice.rules), url, simulator.identity)
    try:
        if chosen.measure:
            total = chosen.repeats * len(advice.expected)
            with open_mesh(chosen, scenario) as mesh, progress_bar("measure", "runs") as progress:
                for run in measure(mesh, advice, chosen.repeats):
                    report.runs.append(run)
                    progress(len(report.runs), total)
    finally:
        paths = report.write(folder)  # what was measured before something went wrong, too
    print(markdown(report))
    for path in paths:
        print(path)

"""What each command of ``meshagents`` does: read its options, call one function, print."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from meshagents.cli.helpers import as_table, judge_objectives, live_mesh, read_decider, read_tasks
from meshagents.cli.options import (
    HYPERPARAMETERS,
    QUICKSTART,
    REQUEST,
    Contexts,
    FromOutside,
    Jobs,
    Learner,
    Quickstart,
    Request,
    Tasks,
)
from meshgym.cli.console import Console, Count, Seed, Several
from meshgym.cli.mesh_options import ClusterOptions, Lanes, open_mesh, read_rule
from meshgym.files import make_folder, write_together
from meshgym.scenarios import SCENARIO_NAMES

if TYPE_CHECKING:
    from meshagents.training.loop import History


def quickstart(*, options: Quickstart = QUICKSTART, out: Path | None = None, console: Console) -> None:
    """Collect, fit, train, validate and report for one scenario.

    Args:
        out: folder (default: quickstart/SCENARIO-SEED). Traces that it already holds are used.
    """
    from meshagents.cli.quickstart import quickstart
    from meshagents.report.text import ratios_table
    from meshagents.statistics import markdown

    folder = make_folder(out or Path("quickstart") / f"{Path(options.scenario).stem}-{options.seed}")
    started = time.monotonic()
    findings = quickstart(options, folder, console.bar)
    console.record(folder)
    print(f"\nMean reward (503s per second) and ratio over random, with 95 % intervals, {options.contexts} rules:\n")
    print(markdown(ratios_table(findings.ratios)))
    share = findings.evaluation.share
    print(f"\nOn all {findings.evaluation.contexts} contexts, simulated: {share:.1%} of the oracle's reward.")
    print(f"\n{findings.decision}\n\n{findings.edge}")
    print(f"\nAll of it on pages: {folder / 'report.html'}, {folder / 'ramp.html'}")
    print(f"Took {time.monotonic() - started:.0f} s.")


def train(
    tasks: Tasks,
    *,
    configuration: str = "Thread-Call",
    preset: str = "default",
    seed: Seed = 0,
    more: Annotated[int, Parameter(validator=Number(gte=0, lte=1_000_000))] = 0,
    patience: Count | None = None,
    log: Path | None = None,
    tensorboard: Path | None = None,
    out: Path = Path("agents/agent.npz"),
    hyperparameters: Learner = HYPERPARAMETERS,
    console: Console,
) -> None:
    """Train an agent on simulators, or go on with its training.

    Args:
        tasks: S1..S5 or a .toml file, with =FILE for another simulator than the bundled one.
        configuration: Call, Thread, Thread&Call, Thread-Call or Call-Thread.
        preset: values of the hyperparameters that aren't given: default, paper or paper*5.
        seed: seed of weights, exploration and contexts.
        more: epochs beyond --epochs; a training that has ended goes on for so many.
        patience: end early once so many epochs have brought no higher ratio over random (default: never).
        log: CSV file for rewards and losses by epoch (default: none).
        tensorboard: folder for the same in TensorBoard's form (default: none).
        out: file. A training that it holds goes on.
    """
    from meshagents.training.configurations import load_configuration
    from meshagents.training.loggers import csv_logger, tensorboard_logger
    from meshagents.training.train import train_agent
    from meshagents.training.trained import evaluate_trained

    make_folder(out.parent)
    logs = [csv_logger(log)] if log else []
    logs += [tensorboard_logger(tensorboard)] if tensorboard else []
    with console.bar("train", "epochs") as progress:

        def after_epoch(history: History) -> None:
            progress(len(history), hyperparameters.epochs + more)
            for write in logs:
                write(history)

        trained = train_agent(
            load_configuration(configuration),
            read_tasks(tasks),
            hyperparameters,
            seed,
            path=out,
            progress=after_epoch,
            more=more,
            patience=patience,
        )
    console.record(out)
    print(as_table(trained.tasks, evaluate_trained(trained)))
    print(out)


def evaluate(agent: str, *, outside: FromOutside | None = None, out: Path | None = None) -> None:
    """Evaluate an agent on all rules, beside random, fixed and best actions.

    Args:
        agent: file that meshagents train wrote; or with --task, a .zip of Stable-Baselines3, an .onnx, or
            module:function.
        out: folder for results.csv and results.parquet (default: none).
    """
    from meshagents.report import tidy
    from meshagents.training.trained import evaluate_trained

    decider = read_decider(agent, outside)
    evaluations = evaluate_trained(decider)
    print(as_table(decider.tasks, evaluations))
    if out:
        table = tidy.of_evaluations(decider.tasks, evaluations, getattr(decider, "seed", None))
        write_together({make_folder(out) / name: content for name, content in tidy.as_files(table)})


def validate(
    agent: str,
    *,
    outside: FromOutside | None = None,
    contexts: Contexts = 25,
    repeats: Count = 2,
    lanes: Lanes = 1,
    seed: Seed = 0,
    slo: Annotated[tuple[str, ...], Several] = (),
    out: Path = Path("validation"),
    cluster: ClusterOptions | None = None,
    console: Console,
) -> None:
    """Measure an agent's decisions on a live mesh, beside random ones.

    Args:
        agent: file that meshagents train wrote; or with --task, a .zip of Stable-Baselines3, an .onnx, or
            module:function.
        contexts: settings drawn from each scenario, at least 2.
        repeats: runs of each setting, at least 1; the noise is known from 2 on.
        lanes: settings that the embedded mesh measures at once, 1..64.
        seed: seed of contexts and order.
        slo: objectives, such as "p99<200ms" and "success>99.9%"; exit code 1 if the agent's loads don't keep all of
            them in nine of ten runs.
        out: folder. Runs that it already holds aren't measured again.
    """
    from meshagents.report.provenance import MEASURED, describe
    from meshagents.report.text import ratios_table, reward_in_words
    from meshagents.report.write import write_validation
    from meshagents.statistics import markdown
    from meshagents.training.trained import evaluate_trained
    from meshagents.validation.gap import tables
    from meshagents.validation.measure import Validation
    from meshagents.validation.validate import Validator
    from meshgym.slo.objective import read_slo

    objectives = read_slo(slo) if slo else ()
    trained, measuring = read_decider(agent, outside), Validation(contexts, repeats, seed, lanes)
    folder = make_folder(out)
    evaluations, about = evaluate_trained(trained), describe(trained)
    validator = Validator(folder / MEASURED, measuring, live_mesh(cluster), console.bar)
    found = validator.validate_agent(trained, evaluations)
    shown = tables(found, seed, objectives)
    sentences = write_validation(folder, about, measuring, found, shown, slo)
    console.record(folder)
    for scenario, ratios in shown["ratios"].groupby("scenario", sort=False):
        print(
            f"{scenario}: mean reward ({reward_in_words(about['reward'])}) and ratio over random, with 95 % intervals"
        )
        print(f"{markdown(ratios_table(ratios))}\n")
    print("\n".join([*sentences, f"\n{folder}"]))
    if objectives:
        judge_objectives(shown["objectives"], slo)


def table5(
    tasks: Tasks = SCENARIO_NAMES,
    *,
    seeds: Count = 3,
    preset: str = "default",
    configurations: Annotated[tuple[str, ...], Several] = (),
    scenarios: Annotated[tuple[str, ...], Several] = (),
    agents: Annotated[tuple[str, ...], Several] = (),
    control: str = "both",
    normalised: bool = False,
    jobs: Jobs = -1,
    backend: str = "loky",
    validate: bool = False,
    contexts: Contexts = 50,
    repeats: Count = 2,
    lanes: Lanes = 1,
    out: Path = Path("table5"),
    hyperparameters: Learner = HYPERPARAMETERS,
    cluster: ClusterOptions | None = None,
    console: Console,
) -> None:
    """Train every configuration on every task, with seeds: the paper's Table 5.

    Args:
        tasks: S1..S5 or a .toml file, with =FILE for another simulator than the bundled one.
        seeds: repeats of each cell, at least 1.
        preset: values of the hyperparameters that aren't given: default, paper or paper*5.
        configurations: rows wanted, such as Call or Call*5 (default: all).
        scenarios: columns wanted, such as S1 (default: all).
        agents: agents from outside as further rows, NAME=AGENT each; {scenario} and {seed} in AGENT, which is as for
            meshagents evaluate, stand for those of a cell.
        control: what agents from outside decide: pace, calls or both.
        normalised: agents from outside observe numbers from 0 to 1.
        jobs: processes; -1 for one per core.
        backend: loky, ray or dask.
        validate: also measure the best epochs' decisions on a live mesh.
        contexts: settings drawn from each scenario to validate, at least 2.
        repeats: runs of each setting, at least 1; the noise is known from 2 on.
        lanes: settings that the embedded mesh measures at once, 1..64.
        out: folder. Trainings and runs that it already holds aren't done again.
    """
    from meshagents.experiments import table5, table5_live
    from meshagents.experiments.outsiders import Outsider
    from meshagents.report.provenance import MEASURED
    from meshagents.report.write import write_table5, write_validation
    from meshagents.validation.gap import tables
    from meshagents.validation.measure import Validation
    from meshagents.validation.validate import Validator

    outsiders = tuple(Outsider.parse(text, control, normalised) for text in agents)
    experiment = table5.Table5(read_tasks(tasks), seeds, hyperparameters, configurations, scenarios, outsiders)
    measuring = Validation(contexts, repeats, seed=0, lanes=lanes)
    folder = make_folder(out)
    with console.bar("table 5", "trainings") as progress:
        frame = table5.run(experiment, folder / "trainings", jobs, backend, progress)
    found = []
    if validate:
        validator = Validator(folder / MEASURED, measuring, live_mesh(cluster), console.bar)
        found = table5_live.run(experiment, frame, validator)
        about = {"configuration": "Table 5", "reward": "worst_case"}
        write_validation(folder, about, measuring, found, tables(found))
    text = write_table5(folder, experiment, frame, table5.tables(frame, found))
    console.record(folder)
    print(text)


def recommend(
    task: str,
    *,
    request: Request = REQUEST,
    agent: str | None = None,
    normalised: bool = False,
    out: Path | None = None,
    cluster: ClusterOptions | None = None,
    console: Console,
) -> None:
    """Find the worst load under given rules, or the best rules under given loads.

    Args:
        task: S1..S5 or a .toml file, with =FILE for another simulator than the bundled one.
        agent: tests --rules with the load that it decides on; as for meshagents evaluate.
        normalised: an agent from outside observes numbers from 0 to 1.
        out: folder (default: recommendations/SCENARIO).
    """
    from meshagents.recommend.advice import advise
    from meshagents.recommend.decided import decided_load
    from meshagents.recommend.output import to_markdown
    from meshagents.recommend.request import Place

    (one,) = read_tasks([task])
    if agent:
        own = agent.endswith(".npz")
        judged = read_decider(agent, None if own else FromOutside(task=task, normalised=normalised))
        request = replace(request, load=(decided_load(judged, one, request),))
    place = Place(read_rule(cluster), cluster.target) if cluster and not cluster.embedded else None
    found, paths = advise(one, request, out, partial(open_mesh, cluster), console.bar, place)
    console.record(paths[0].parent)
    print("\n".join([to_markdown(found), *map(str, paths)]))


def report(path: Path) -> None:
    """Write one HTML page about an agent, a validation or a table.

    Args:
        path: a folder, or an agent's file.
    """
    from meshagents.report.page import write_report

    print(write_report(path))

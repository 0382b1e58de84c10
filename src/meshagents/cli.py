"""The ``meshagents`` command: from a real Envoy to a validated decision."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from meshgym.console import make_folder, make_parser, progress_bar, run
from meshgym.mesh.options import add_mesh_arguments, open_mesh
from meshgym.scenarios import SCENARIO_NAMES, load_scenario

if TYPE_CHECKING:
    from meshagents.config import Config
    from meshagents.evaluation import Evaluation
    from meshagents.runs import Service

_SERVICE = "S1..S5 or a .toml file, with =FILE for another simulator than the bundled one"
_CONFIGURATIONS = "Call, Thread, Thread&Call, Thread-Call or Call-Thread"


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser, commands = make_parser("meshagents", __doc__)

    command = commands.add_parser(
        "quickstart",
        help="collect, fit, train and validate for one scenario",
        argument_default=argparse.SUPPRESS,  # the defaults are those of meshagents.quickstart.Quickstart
    )
    command.add_argument("--scenario", help="S1..S5 or a .toml file (default: S1)")
    command.add_argument("--configuration", help=f"{_CONFIGURATIONS} (default: Thread-Call)")
    command.add_argument("--rows", type=int, help="runs to collect")
    command.add_argument("--contexts", type=int, help="sets of rules to validate under")
    command.add_argument("--lanes", type=int, help="meshes that collect side by side")
    command.add_argument("--epochs", type=int, help="of training")
    command.add_argument("--seed", type=int, help="of plan, training and validation")
    command.add_argument("--out", type=Path, help="folder (default: quickstart/SCENARIO-SEED); traces in it are used")
    command.set_defaults(function=_quickstart)

    command = commands.add_parser("train", help="train an agent on simulators, or go on with it")
    _add_services(command)
    _add_configuration(command)
    command.add_argument("--preset", default="default", help="default, paper or paper*5")
    command.add_argument("--epochs", type=int, help="default: the preset's")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", type=Path, default=Path("agents/agent.npz"), help="file; gone on with if it is there")
    command.set_defaults(function=_train)

    command = commands.add_parser("evaluate", help="a trained agent on all rules, beside random, fixed and oracle")
    command.add_argument("agent", type=Path, help="file of meshagents train")
    _add_services(command)
    _add_configuration(command)
    command.set_defaults(function=_evaluate)

    command = commands.add_parser("table5", help="every configuration on every service, with seeds")
    _add_services(command, default=list(SCENARIO_NAMES))
    command.add_argument("--seeds", type=int, default=3, help="repeats of each cell (default: 3)")
    command.add_argument("--preset", default="default", help="default, paper or paper*5")
    command.add_argument("--epochs", type=int, help="default: the preset's")
    command.add_argument("--jobs", type=int, default=-1, help="processes (default: one a core)")
    command.add_argument("--backend", default="loky", help="loky, ray or dask")
    command.add_argument("--out", type=Path, default=Path("table5"), help="folder; what is done there counts")
    command.set_defaults(function=_table5)

    command = commands.add_parser(
        "recommend",
        help="the worst load under given rules, or the best rules under given loads",
        conflict_handler="resolve",  # a cluster's --host is for rules that are made to measure; here it is written
    )
    add_mesh_arguments(command)
    command.add_argument("service", metavar="SERVICE", help=_SERVICE)
    command.add_argument("--rules", help="a DestinationRule's file, or NAME=VALUE,... (default: find the best)")
    command.add_argument("--load", action="append", default=[], help="threads=N,calls=N, repeatable (default: all)")
    command.add_argument("--criterion", default="worst", help="best in the worst load or the mean (default: worst)")
    command.add_argument("--name", help="of the DestinationRule (default: httpbin, as in Istio's sample)")
    command.add_argument("--namespace", help="of the DestinationRule (default: default)")
    command.add_argument("--host", help="it is for (default: NAME.NAMESPACE.svc.cluster.local)")
    command.add_argument("--url", help="Fortio calls (default: http://HOST:8000/get)")
    command.add_argument("--measure", action="store_true", help="measure what is expected, too")
    command.add_argument("--repeats", type=int, default=5, help="measured runs of each load (default: 5)")
    command.add_argument("--seed", type=int, default=0, help="of the rules drawn, where all are too many")
    command.add_argument("--out", type=Path, help="folder (default: recommendations/SERVICE)")
    command.set_defaults(function=_recommend)
    return parser


def _add_configuration(command: argparse.ArgumentParser) -> None:
    command.add_argument("--configuration", default="Thread-Call", help=f"{_CONFIGURATIONS} (default: Thread-Call)")


def _add_services(command: argparse.ArgumentParser, default: list[str] | None = None) -> None:
    command.add_argument(
        "services",
        nargs="*" if default else "+",
        default=default,
        metavar="SERVICE",
        help=_SERVICE,
    )


def _quickstart(chosen: argparse.Namespace) -> None:
    from meshagents.quickstart import Quickstart, quickstart

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
    print(f"\n{findings.decision}\n\nFigures, tables and configuration: {folder}")
    print(f"Took {time.monotonic() - started:.0f} s.")


def _services(chosen: argparse.Namespace) -> tuple[Service, ...]:
    return tuple(_service(text) for text in chosen.services)


def _service(text: str) -> Service:
    from meshagents.runs import Service

    scenario, _, simulator = text.partition("=")
    return Service(scenario, simulator or None)


def _config(chosen: argparse.Namespace) -> Config:
    from meshagents.config import Config

    return Config.from_dict({} if chosen.epochs is None else {"epochs": chosen.epochs}, chosen.preset)


def _train(chosen: argparse.Namespace) -> None:
    from meshagents.configurations import load_configuration
    from meshagents.runs import evaluate_agent, train_agent

    configuration, services, config = load_configuration(chosen.configuration), _services(chosen), _config(chosen)
    make_folder(chosen.out.parent)
    with progress_bar("train", "epochs") as progress:
        agent, _ = train_agent(
            configuration,
            services,
            config,
            chosen.seed,
            path=chosen.out,
            progress=lambda history: progress(len(history), config.epochs),
        )
    _show(services, evaluate_agent(agent, configuration, services))
    print(chosen.out)


def _evaluate(chosen: argparse.Namespace) -> None:
    from meshagents.configurations import load_configuration
    from meshagents.runs import evaluate_agent
    from meshagents.storage import load_agent

    services = _services(chosen)
    agent, _ = load_agent(chosen.agent)
    _show(services, evaluate_agent(agent, load_configuration(chosen.configuration), services))


def _show(services: Sequence[Service], evaluations: Sequence[Evaluation]) -> None:
    print(f"{'service':<10}{'random':>10}{'fixed':>10}{'agent':>10}{'oracle':>10}{'share of the oracle':>22}")
    for service, found in zip(services, evaluations, strict=True):
        rewards = "".join(f"{value:>10.4g}" for value in (found.random, found.fixed, found.agent, found.oracle))
        print(f"{service.name:<10}{rewards}{found.share:>22.2%}")


def _table5(chosen: argparse.Namespace) -> None:
    from meshagents.experiments import table5

    settings = table5.Table5(services=_services(chosen), seeds=chosen.seeds, config=_config(chosen))
    folder = make_folder(chosen.out)
    with progress_bar("table 5", "runs") as progress:
        frame = table5.run(settings, folder / "runs", chosen.jobs, chosen.backend, progress)
    cells = table5.score(frame)
    text = table5.markdown(cells)
    table5.to_frame(cells).to_csv(folder / "table5.csv", index=False)
    (folder / "table5.md").write_text(text, "utf-8")
    print(text)
    for line in table5.shortfalls(cells):
        print(line)


def _recommend(chosen: argparse.Namespace) -> None:
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
            where = argparse.Namespace(**{**vars(chosen), "host": None})
            with open_mesh(where, scenario) as mesh, progress_bar("measure", "runs") as progress:
                for run in measure(mesh, advice, chosen.repeats):
                    report.runs.append(run)
                    progress(len(report.runs), total)
    finally:
        paths = report.write(folder)  # what was measured before something went wrong, too
    print(markdown(report))
    for path in paths:
        print(path)


if __name__ == "__main__":
    raise SystemExit(main())

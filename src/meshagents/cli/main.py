"""The meshagents command: from a real Envoy to a validated decision."""

from __future__ import annotations

import argparse
from pathlib import Path

from meshagents.cli import commands
from meshgym.cli.console import make_parser, run
from meshgym.cli.mesh_options import add_mesh_arguments
from meshgym.scenarios import SCENARIO_NAMES

_SERVICE = "S1..S5 or a .toml file, with =FILE for another simulator than the bundled one"
_CONFIGURATIONS = "Call, Thread, Thread&Call, Thread-Call or Call-Thread"


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser, commands_of = make_parser("meshagents", __doc__)

    command = commands_of.add_parser(
        "quickstart",
        help="collect, fit, train and validate for one scenario",
        argument_default=argparse.SUPPRESS,  # the defaults are those of meshagents.cli.quickstart.Quickstart
    )
    command.add_argument("--scenario", help="S1..S5 or a .toml file (default: S1)")
    command.add_argument("--configuration", help=f"{_CONFIGURATIONS} (default: Thread-Call)")
    command.add_argument("--rows", type=int, help="runs to collect")
    command.add_argument("--contexts", type=int, help="sets of rules to validate under")
    command.add_argument("--lanes", type=int, help="settings that the embedded mesh measures side by side")
    command.add_argument("--epochs", type=int, help="of training")
    command.add_argument("--seed", type=int, help="of plan, training and validation")
    command.add_argument("--out", type=Path, help="folder (default: quickstart/SCENARIO-SEED); traces in it are used")
    command.set_defaults(function=commands.quickstart)

    command = commands_of.add_parser("train", help="train an agent on simulators, or go on with it")
    _add_services(command)
    _add_configuration(command)
    command.add_argument("--preset", default="default", help="default, paper or paper*5")
    command.add_argument("--epochs", type=int, help="default: the preset's")
    command.add_argument("--seed", type=int, default=0, help="of weights, exploration and contexts (default: 0)")
    command.add_argument("--out", type=Path, default=Path("agents/agent.npz"), help="file; gone on with if it is there")
    command.set_defaults(function=commands.train)

    command = commands_of.add_parser("evaluate", help="a trained agent on all rules, beside random, fixed and oracle")
    command.add_argument("agent", type=Path, help="file of meshagents train")
    _add_services(command)
    _add_configuration(command)
    command.set_defaults(function=commands.evaluate)

    command = commands_of.add_parser("validate", help="a trained agent's decisions on a live mesh, beside random ones")
    command.add_argument("agent", type=Path, help="file of meshagents train")
    _add_services(command)
    _add_configuration(command)
    _add_validation(command, contexts=25)
    command.add_argument("--seed", type=int, default=0, help="of contexts and order (default: 0)")
    command.add_argument("--out", type=Path, default=Path("validation"), help="folder; what is measured there counts")
    command.set_defaults(function=commands.validate)

    command = commands_of.add_parser("table5", help="every configuration on every service, with seeds")
    _add_services(command, default=list(SCENARIO_NAMES))
    command.add_argument("--seeds", type=int, default=3, help="repeats of each cell (default: 3)")
    command.add_argument("--preset", default="default", help="default, paper or paper*5")
    command.add_argument("--epochs", type=int, help="default: the preset's")
    command.add_argument("--jobs", type=int, default=-1, help="processes (default: one a core)")
    command.add_argument("--backend", default="loky", help="loky, ray or dask")
    command.add_argument("--configurations", nargs="+", default=[], metavar="ROW", help="such as Call Call*5")
    command.add_argument("--scenarios", nargs="+", default=[], metavar="COLUMN", help="such as S1 S2")
    command.add_argument("--validate", action="store_true", help="measure the best epochs' decisions, too")
    _add_validation(command, contexts=50)
    command.add_argument("--out", type=Path, default=Path("table5"), help="folder; what is done there counts")
    command.set_defaults(function=commands.table5)

    command = commands_of.add_parser("report", help="one HTML page of a run, a validation or a table")
    command.add_argument("path", type=Path, help="a folder, or an agent's file")
    command.set_defaults(function=commands.report)

    command = commands_of.add_parser(
        "recommend", help="the worst load under given rules, or the best rules under given loads"
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
    command.set_defaults(function=commands.recommend)
    return parser


def _add_configuration(command: argparse.ArgumentParser) -> None:
    command.add_argument("--configuration", default="Thread-Call", help=f"{_CONFIGURATIONS} (default: Thread-Call)")


def _add_validation(command: argparse.ArgumentParser, contexts: int) -> None:
    add = command.add_argument
    add("--contexts", type=int, default=contexts, help=f"settings drawn from each scenario (default: {contexts})")
    add("--repeats", type=int, default=2, help="runs of each setting; 2 or more tell the noise (default: 2)")
    add("--lanes", type=int, default=1, help="settings that the embedded mesh measures side by side (default: 1)")
    add_mesh_arguments(command)


def _add_services(command: argparse.ArgumentParser, default: list[str] | None = None) -> None:
    command.add_argument(
        "services",
        nargs="*" if default else "+",
        default=default,
        metavar="SERVICE",
        help=_SERVICE,
    )


if __name__ == "__main__":
    raise SystemExit(main())

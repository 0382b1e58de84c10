"""The ``meshagents`` command: from a real Envoy to a validated decision."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App, ArgumentCollection

from meshagents.cli import commands
from meshagents.cli.benchmark import benchmark, datasets
from meshagents.learners.hyperparameters import PRESETS
from meshgym.cli.console import Command, fill_in, run
from meshgym.errors import UnknownNameError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    about = "Train agents that find the load that breaks a service, validate them on a live mesh, and recommend rules."
    table: list[Command] = [
        commands.quickstart,
        commands.train,
        commands.evaluate,
        commands.validate,
        commands.table5,
        commands.recommend,
        commands.report,
        benchmark,
        datasets,
    ]
    return run("meshagents", about, table, arguments, [_fill_in_preset])


def _fill_in_preset(app: App, names: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Take hyperparameters from the preset where neither the command line nor a file gives them."""
    given = arguments.get("--preset", None)
    if given is None or not given.tokens:
        return
    preset = given.tokens[0].value
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    fill_in(PRESETS[preset], f"preset {preset}")(app, names, arguments)

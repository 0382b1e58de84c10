"""The ``meshagents`` command: from a real Envoy to a validated decision."""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path

from meshgym.console import make_folder, make_parser, progress_bar, run


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser, commands = make_parser("meshagents", __doc__)

    command = commands.add_parser("quickstart", help="collect, fit, train and validate for one scenario")
    command.add_argument("--scenario", default="S1", help="S1..S5 or a .toml file (default: S1)")
    command.add_argument("--control", default="both", choices=["both", "threads", "calls"])
    command.add_argument("--rows", type=int, default=240, help="runs to collect (default: 240)")
    command.add_argument("--contexts", type=int, default=25, help="sets of rules to validate under (default: 25)")
    command.add_argument("--lanes", type=int, default=2, help="meshes that collect side by side (default: 2)")
    command.add_argument("--epochs", type=int, default=150, help="of training (default: 150)")
    command.add_argument("--seed", type=int, default=0, help="of plan, training and validation (default: 0)")
    command.add_argument("--out", type=Path, help="folder (default: quickstart/SCENARIO-SEED); traces in it are used")
    command.set_defaults(function=_quickstart)
    return parser


def _quickstart(chosen: argparse.Namespace) -> None:
    from meshagents.quickstart import Quickstart, quickstart

    settings = Quickstart(**{field.name: getattr(chosen, field.name) for field in fields(Quickstart)})
    folder = make_folder(chosen.out or Path("quickstart") / f"{Path(settings.scenario).stem}-{settings.seed}")
    started = time.monotonic()
    findings = quickstart(settings, folder, progress_bar)
    print(f"\nMean reward (503s a second) and ratio over random, with 95 % intervals, {settings.contexts} rules:\n")
    print(findings.table.map(str).to_string())
    share = findings.evaluation.share
    print(f"\nOn all {findings.evaluation.contexts} contexts, simulated: {share:.1%} of the oracle's reward.")
    print(f"\n{findings.decision}\n\nFigures, tables and configuration: {folder}")
    print(f"Took {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    raise SystemExit(main())

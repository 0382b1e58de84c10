"""What both command lines share: errors as one clear line, exit codes, and progress bars."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from meshgym.errors import DryRun, MeshGymError, MissingDependencyError

#: Exit codes: what was asked cannot be done; stopped by Ctrl-C or SIGTERM (as shells report it).
FAILED = 1
INTERRUPTED = 130


def make_parser(program: str, description: str | None) -> tuple[argparse.ArgumentParser, Any]:
    """A parser with ``--version``, and what its commands are added to."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--version", action="version", version=version("meshgym"))
    return parser, parser.add_subparsers(required=True, metavar="COMMAND")


def run(parser: argparse.ArgumentParser, arguments: list[str] | None) -> int:
    """Parse, call the chosen command's ``function``, and turn errors into one line and an exit code."""
    chosen = parser.parse_args(arguments)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as orderly as after Ctrl-C
    try:
        chosen.function(chosen)
    except DryRun as told:
        print(told)
    except MeshGymError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        kept = "what was measured is kept, and the same command goes on from it"
        print(f"{parser.prog}: stopped; {kept}", file=sys.stderr)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


@contextmanager
def progress_bar(title: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error; gives a function ``(done, total)`` that moves it.

    Raises:
        MissingDependencyError: the package ``rich`` is not installed.
    """
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        raise MissingDependencyError("rich", "a progress bar", "live") from None
    columns: list[Any] = [TextColumn(f"{title:<28}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit)]
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)

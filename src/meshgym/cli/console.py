"""What both command lines share: options from typed functions and TOML files, errors, exit codes, progress bars.

Cyclopts reads options and help from typed functions, dataclasses and their docstrings, takes a TOML file as a second
source of the same options, and names the key or option that is wrong. Tyro reads no configuration files; jsonargparse
leaves shell completion to other packages.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from functools import partial
from inspect import BoundArguments
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, ArgumentCollection, CoercionError, CycloptsError, Group, Parameter
from cyclopts.argument import update_argument_collection
from cyclopts.validators import Number

from meshgym.errors import DryRun, FileError, IncompleteError, InvalidValueError, MeshGymError, OutsideError
from meshgym.files import read_text, reading, write_text
from meshgym.stopping import Stopped, heeding_signals
from meshgym.types import Progress

#: Exit codes: the command failed; the command line is wrong; some of its runs, or numbers, are missing. Stopped by a
#: signal, it is 128 and the signal's number, as in shells.
FAILED, MISUSED, INCOMPLETE = 1, 2, 3
_CODES = {InvalidValueError: MISUSED, IncompleteError: INCOMPLETE, OutsideError: INCOMPLETE}
#: Options with a range: how many, and a generator's seed.
Count = Annotated[int, Parameter(validator=Number(gte=1, lte=1_000_000))]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**32))]
#: An option that takes all values up to the next option.
Several = Parameter(consume_multiple=True)
#: A command: its parameters are its options, its docstring is its help.
Command = Callable[..., None]
#: Fills in options that neither the command line nor a file gives.
Source = Callable[[App, tuple[str, ...], ArgumentCollection], None]

_COMMON = Group("Options of every command", sort_key=100)


@dataclass(frozen=True)
class _Console:
    """What a command gets besides its options.

    Attributes:
        command: program and command.
        options: all options of the command, after file and defaults, by their name on the command line.
        quiet: whether to show no progress.
    """

    command: str
    options: Mapping[str, Any]
    quiet: bool = False

    def record(self, result: Path) -> None:
        """Write the options beside a result: ``options.toml`` in a folder, ``NAME.options.toml`` beside a file.

        ``--config`` reads the file back.

        Raises:
            FolderError: the file can't be written.
        """
        from importlib.metadata import version  # slow to import

        path = result / "options.toml" if result.is_dir() else result.with_suffix(".options.toml")
        values = {**self.options, "out": str(result)}
        # Strings, numbers, booleans and lists of them read the same in TOML and JSON.
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False, default=str)}" for name, value in values.items()]
        head = f"# {self.command}, version {version('meshgym')}. Run it again: {self.command} --config {path.name}"
        write_text(path, "\n".join([head, *lines]) + "\n")

    @contextmanager
    def bar(self, title: str, unit: str = "") -> Iterator[Progress]:
        """Show a progress bar on standard error; yield a function ``(done, total)`` that moves it."""
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [TextColumn(f"{title:<28}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit)]
        terminal = Terminal(stderr=True)
        with Progress(*columns, TimeRemainingColumn(), console=terminal, disable=self.quiet) as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)


#: Type of the parameter by which a command asks for it.
Console = Annotated[_Console, Parameter(parse=False)]


def run(
    program: str,
    about: str,
    commands: Sequence[Command],
    arguments: Sequence[str] | None,
    sources: Sequence[Source] = (),
) -> int:
    """Parse the arguments, call the chosen command, and turn errors into one line and an exit code.

    Args:
        program: its name.
        about: a sentence for its help.
        commands: the functions that do the work.
        arguments: the command line; None for this process'.
        sources: further values of options, the first one wins.

    Returns:
        The exit code.
    """
    app = _make_app(program, about, commands, sources)
    try:
        with heeding_signals(patient=True), _telling(program):
            code = _call(program, app, sys.argv[1:] if arguments is None else arguments)
            sys.stdout.flush()
            return code
    except (KeyboardInterrupt, Stopped) as stopped:
        kept = "what was measured is kept, and the same command goes on from it"
        print(f"{program}: stopped; {kept}", file=sys.stderr)
        return 128 + getattr(stopped, "number", signal.SIGINT)
    except BrokenPipeError:  # who reads what is printed has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _call(program: str, app: App, arguments: Sequence[str]) -> int:
    """Parse the arguments and call the command; return the exit code."""
    try:
        call, verbose = app.meta(arguments) or (lambda: None, False)
    except (CycloptsError, InvalidValueError, FileError) as error:
        return _fail(program, error, MISUSED)
    try:
        call()
    except DryRun as told:
        print(told)
    except MeshGymError as error:
        if verbose:
            traceback.print_exception(error)
        return _fail(program, error, next((code for kind, code in _CODES.items() if isinstance(error, kind)), FAILED))
    return 0


@contextmanager
def _telling(program: str) -> Iterator[None]:
    """Show what the library logs, such as what it waits for, as lines of this program."""
    handler = logging.Handler()
    # The progress bar takes the place of sys.stderr now and then.
    handler.emit = lambda record: print(f"{program}: {record.getMessage()}", file=sys.stderr)  # type: ignore[method-assign]
    logger = logging.getLogger("meshgym")
    logger.addHandler(handler)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs each repeated request
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _fail(program: str, error: Exception, code: int) -> int:
    print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _make_app(program: str, about: str, commands: Sequence[Command], sources: Sequence[Source]) -> App:
    """Make a program whose launcher, ``app.meta``, returns the call asked for, and whether to be verbose."""
    app = App(
        program,
        help=about,
        help_format="plaintext",
        default_parameter=Parameter(negative_iterable=(), allow_repeating=True),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    for command in commands:
        app.command(command)
    app.meta.suppress_keyboard_interrupt = False
    app.register_install_completion_command(help="Install completion for your shell: bash, zsh or fish.")

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Annotated[Path | None, Parameter(group=_COMMON)] = None,
        envoy: Annotated[Path | None, Parameter(group=_COMMON)] = None,
        quiet: Annotated[bool, Parameter(group=_COMMON, negative=())] = False,
        verbose: Annotated[bool, Parameter(group=_COMMON, negative=())] = False,
    ) -> tuple[Callable[[], None], bool]:
        """Parse the rest.

        Args:
            config: TOML file with options of the command; options on the command line win.
            envoy: the Envoy to run, instead of the one that pip installed; the same as MESHGYM_ENVOY.
            quiet: show results only, no progress.
            verbose: show where an error comes from.
        """
        app.config = [*([_read(config)] if config else []), *sources, _check_whole]
        if envoy is not None:
            os.environ["MESHGYM_ENVOY"] = str(envoy)  # the processes of lanes need it, too
        command, bound, ignored = app.parse_args(tokens)
        call = f"{program} {getattr(command, '__name__', '')}"
        console = _Console(call, _resolved(bound), quiet)
        return partial(command, *bound.args, **bound.kwargs, **dict.fromkeys(ignored, console)), verbose

    return app


def fill_in(values: Mapping[str, Any], source: str) -> Source:
    """Return a source of options by name; an unknown name is an error that names it and the source."""
    return lambda app, names, arguments: update_argument_collection(
        dict(values), source, arguments, root_keys=(), allow_unknown=False
    )


def _check_whole(_app: App, _names: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse ``1.5`` where a whole number belongs; Cyclopts alone would read it as 1."""
    for argument in arguments:
        for token in argument.tokens if argument.hint in (int, int | None) else ():
            try:
                int(token.value)
            except ValueError:
                raise CoercionError(token=token, argument=argument, target_type=int) from None


def _read(path: Path) -> Source:
    with reading(path, "a TOML file", FileError, "Name one with --config."):
        return fill_in(tomllib.loads(read_text(path)), str(path))


def _resolved(bound: BoundArguments) -> dict[str, Any]:
    """Return all options that have a value, those of dataclasses among the others."""
    bound.apply_defaults()
    options: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        options |= asdict(value) if is_dataclass(value) and not isinstance(value, type) else {name: value}
    return {name.replace("_", "-"): value for name, value in options.items() if value is not None}

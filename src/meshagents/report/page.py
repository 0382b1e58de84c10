"""One HTML page about an agent, a validation or a table, with its figures inside, for readers new to the project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshagents.report.provenance import describe_training
from meshagents.report.sections import SECTIONS, About, Picture, origins
from meshagents.training.trained import evaluate_trained, is_trained, load_trained
from meshgym.errors import FolderError, InvalidValueError, MissingDependencyError
from meshgym.files import write_text


def write_report(path: Path) -> Path:
    """Write a page about what a command left.

    Args:
        path: a folder of ``meshagents quickstart``, ``validate`` or ``table5``, or an agent's file.

    Returns:
        The page: ``report.html`` in the folder, or beside the agent's file with its name.

    Raises:
        InvalidValueError: there is nothing to report.
        AgentError: an agent's file is damaged or missing.
        FolderError: a file can't be read or written.
        MissingDependencyError: jinja2 isn't installed.
    """
    page = path / "report.html" if path.is_dir() else path.with_suffix(".html")
    with _explained(path):
        results = [*_agents(path), *_others(path)]
    if not results:
        raise InvalidValueError(
            "path", str(path), "a folder of meshagents train, validate, table5 or quickstart, or an agent's file"
        )
    with _explained(path):
        text = _render(results, page.parent)
    return write_text(page, text)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what can't be reported, and what to do."""
    try:
        yield
    except (OSError, KeyError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise FolderError(f"cannot make a report of {path} ({reason}). Run the command that wrote it again") from error


def _agents(path: Path) -> list[About]:
    files = [file for file in sorted(path.glob("*.npz")) if is_trained(file)] if path.is_dir() else [path]
    agents = [load_trained(file) for file in files]
    return [describe_training(trained, evaluate_trained(trained)) for trained in agents]


def _others(path: Path) -> list[About]:
    found = [json.loads(file.read_text("utf-8")) for file in sorted(path.glob("*.json"))]
    known = [about for about in found if isinstance(about, dict) and about.get("kind") in SECTIONS]
    return sorted(known, key=lambda about: list(SECTIONS).index(about["kind"]))


def _render(results: list[About], folder: Path) -> str:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingDependencyError("jinja2", "a report", "agents") from None
    environment = Environment(
        loader=PackageLoader("meshagents.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.tests["picture"] = lambda block: isinstance(block, Picture)
    sections = [section for about in results for section in SECTIONS[about["kind"]](about, folder)]
    page: str = environment.get_template("report.html").render(
        title=_title(results), sections=[*sections, *origins(results)]
    )
    return page


def _title(results: list[About]) -> str:
    if any(about["kind"] == "table5" for about in results):
        return "Table 5: every kind of agent on every service"
    last = results[-1]
    return f"{last['name']} on {', '.join(task['scenario'] for task in last['tasks'])}"

"""One HTML page of a run, a validation or a table: figures inside, for readers who have not seen the project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshagents.report.sections import SECTIONS, Card, Picture, origins
from meshgym.errors import FolderError, InvalidValueError, MissingDependencyError


def write_report(path: Path) -> Path:
    """Make the page of what a command left.

    Args:
        path: a folder of ``meshagents quickstart``, ``train``, ``validate`` or ``table5``, or an agent's file.

    Returns:
        The page: ``report.html`` in the folder, or beside the agent's file with its name.

    Raises:
        InvalidValueError: there is nothing to report.
        FolderError: a file cannot be read or written.
        MissingDependencyError: jinja2 is not installed.
    """
    page = path / "report.html" if path.is_dir() else path.with_suffix(".html")
    with _explained(path):
        cards = _read_cards(path)
    if not cards:
        wrote = "what meshagents train, validate, table5 or quickstart wrote: a folder, or an agent's file"
        raise InvalidValueError("path", str(path), wrote)
    with _explained(path):
        page.write_text(_render(cards, page.parent), "utf-8")
    return page


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Says what cannot be reported, and what to do."""
    try:
        yield
    except (OSError, KeyError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise FolderError(f"cannot make a report of {path} ({reason}). Run the command that wrote it again") from error


def _read_cards(path: Path) -> list[Card]:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path.with_suffix(".json")]
    found = [json.loads(file.read_text("utf-8")) for file in files]
    cards = [card for card in found if isinstance(card, dict) and card.get("kind") in SECTIONS]
    return sorted(cards, key=lambda card: list(SECTIONS).index(card["kind"]))


def _render(cards: list[Card], folder: Path) -> str:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingDependencyError("jinja2", "a report", "agents") from None
    environment = Environment(
        loader=PackageLoader("meshagents.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.tests["picture"] = lambda block: isinstance(block, Picture)
    sections = [section for card in cards for section in SECTIONS[card["kind"]](card, folder)]
    page: str = environment.get_template("report.html").render(
        title=_title(cards), sections=[*sections, *origins(cards)]
    )
    return page


def _title(cards: list[Card]) -> str:
    if any(card["kind"] == "table5" for card in cards):
        return "Table 5: every kind of agent on every service"
    last = cards[-1]
    scenarios = ", ".join(service["scenario"] for service in last["services"])
    return f"{last.get('name') or last['configuration']} on {scenarios}"

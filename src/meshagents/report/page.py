"""One HTML page about an agent, a validation or a table: figures inside, for readers who don't know the project."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, is_zipfile

from meshagents.report.provenance import Description, describe_training
from meshagents.report.sections import SECTIONS, origins
from meshagents.training.trained import load_trained
from meshgym.errors import FileError, InvalidValueError
from meshgym.files import check_signed, read_bytes, read_json, reading, write_text
from meshgym.pages.page import to_html


def write_report(path: Path) -> Path:
    """Make the page of what a command left.

    Args:
        path: a folder of ``meshagents quickstart``, ``train``, ``validate`` or ``table5``, or an agent's file.

    Returns:
        The page: ``report.html`` in the folder, or beside the agent's file with its name.

    Raises:
        AgentError: the agent's file is damaged, or of another version.
        InvalidValueError: there is nothing to report.
        FileError: a file can't be read, or isn't of the same result as the others.
        FolderError: the page can't be written.
        MissingDependencyError: jinja2 isn't installed.
    """
    page = path / "report.html" if path.is_dir() else path.with_suffix(".html")
    commands = "meshagents train, validate, table5 or quickstart"
    with reading(path, "a result", FileError, f"Write it again with the command it came from: {commands}."):
        results = _read(path)
        html = _render(results, page.parent) if results else ""
    if not html:
        raise InvalidValueError("path", str(path), f"what {commands} wrote: a folder, or an agent's file")
    return write_text(page, html)


def _read(path: Path) -> list[Description]:
    """Return the descriptions of all results, in the order of a page."""
    if not path.is_dir():
        path.stat()  # raises if there is no such file
        return [describe_training(load_trained(path))]
    agents = [file for file in sorted(path.glob("*.npz")) if _is_agent(file)]
    results = [describe_training(load_trained(file)) for file in agents]
    for file in sorted(path.glob("*.json")):
        about = read_json(file)
        kind = about.get("kind") if isinstance(about, dict) else None
        if kind == "run" and file.with_suffix(".npz") not in agents:
            raise ValueError(f"{file.name} is of an agent that version 0.1 trained")
        if kind in SECTIONS:
            results.append(check_signed(about))
    return sorted(results, key=lambda about: list(SECTIONS).index(about["kind"]))


def _is_agent(path: Path) -> bool:
    """Return whether an ``.npz`` file holds an agent, not a simulator or something else."""
    content = BytesIO(read_bytes(path))
    if not is_zipfile(content):
        return False
    with ZipFile(content) as file:
        return "trained.npy" in file.namelist()


def _render(results: list[Description], folder: Path) -> str:
    sections = [section for about in results for section in SECTIONS[about["kind"]](about, folder)]
    lead = "A report of meshgym: which load breaks a service under given traffic rules, simulated and measured."
    whole = [*sections, *origins(results)]
    return to_html(_title(results), whole, lead=lead, package="meshagents.report", template="report.html")


def _title(results: list[Description]) -> str:
    if any(about["kind"] == "table5" for about in results):
        return "Table 5: every kind of agent on every service"
    last = results[-1]
    scenarios = ", ".join(simulator["scenario"] for simulator in last["provenance"]["simulators"])
    return f"{last['configuration']} on {scenarios}"

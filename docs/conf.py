"""Build the site: ``sphinx-build -W docs site``. Warnings are errors; the tutorials are executed."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version as version_of
from typing import Any

from meshagents.recommend.outside import in_words
from meshgym.explain.findings import FINDINGS
from meshgym.fields import LOADS, OUTCOMES, RULES
from meshgym.traces.schema import COLUMNS, REQUIRED

project = "meshgym"
author = "The meshgym developers"
copyright = "The meshgym developers"
version = release = version_of("meshgym")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["tables/*.md"]  # parts of other pages
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"exclude-members": "__new__, __init__"}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "meshgym"
html_copy_source = False
html_show_sourcelink = False
linkcheck_ignore = [r"http://localhost.*"]

os.environ["COLUMNS"] = "100"  # the width of the commands' help, wherever the site is built
os.environ["PYTHONWARNINGS"] = "ignore"  # for the kernels of the tutorials


def _help(program: str) -> Iterator[str]:
    """Yield the help of a program and of each of its commands, as Markdown."""
    main = import_module(f"{program}.cli.main").main

    def shown(*arguments: str) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            main([*arguments, "--help"])
        return out.getvalue()

    about = shown()
    yield f"```text\n{about}```"
    for name in re.findall(r"^│ (\w+) ", about, re.MULTILINE):
        yield f"### {program} {name}\n\n```text\n{shown(name)}```"


def _fields() -> Iterator[str]:
    """Yield a table for each kind of field."""
    for title, table in (("Rules", RULES), ("Loads", LOADS), ("Outcomes", OUTCOMES)):
        more = ["in the DestinationRule", "in Envoy's cluster", "if absent", "since Istio"] if title == "Rules" else []
        head = ["field", "unit", "allowed", "meaning", *more]
        rows = [head, ["---"] * len(head)]
        for field in table.values():
            about = [f"`{field.name}`", field.unit, field.allowed(field.low), field.doc]
            envoy = f"`{field.envoy}`" if field.envoy else "depends on others"
            place = field.destination_rule or f"VirtualService: {field.virtual_service}"
            places = [f"`{place}`", envoy, in_words(field.absent), field.since]
            rows.append([*about, *(places if more else ())])
        yield f"## {title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _findings() -> Iterator[str]:
    """Yield a section for each finding."""
    for row in FINDINGS.values():
        shown = "" if row.instead else " Envoy can't show it."
        yield f"## {row.code}\n\n**{row.title.capitalize()}** ({row.severity}, `spec.{row.field}`). {row.remedy}{shown}"


def _columns() -> Iterator[str]:
    yield "| column | unit | meaning | required |\n| --- | --- | --- | --- |\n" + "\n".join(
        f"| `{name}` | {column.unit} | {column.doc} | {'yes' if name in REQUIRED else ''} |"
        for name, column in COLUMNS.items()
    )


_FILLED = {
    "help of meshgym": lambda: _help("meshgym"),
    "help of meshagents": lambda: _help("meshagents"),
    "fields": _fields,
    "findings": _findings,
    "columns of a trace set": _columns,
}


def _fill_in(app: Any, name: str, source: list[str]) -> None:
    """Replace the comments that stand for what the code says of itself."""
    for comment, parts in _FILLED.items():
        place = f"<!-- {comment} -->"
        if place in source[0]:
            source[0] = source[0].replace(place, "\n\n".join(parts()))


def _from_markdown(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make reStructuredText of the Markdown in docstrings of environments, which Gymnasium's readers expect."""
    text = re.sub(r"^## (.*)$", r"\n**\1**\n", "\n".join(lines), flags=re.MULTILINE)
    text = re.sub(r"\*\*Arguments\*\*\n", "", text)
    text = re.sub(
        r"(?:^\|.*\n?)+", lambda table: "::\n\n" + re.sub(r"^", "    ", table[0], flags=re.M) + "\n", text, flags=re.M
    )
    lines[:] = text.replace("``..``", "`` .. ``").replace("`..`", "` .. `").split("\n")


def setup(app: Any) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", _fill_in)
    app.connect("autodoc-process-docstring", _from_markdown, priority=400)

"""What MkDocs puts in from the code: the commands' own help, and the columns of a trace set."""

from __future__ import annotations

import argparse
import os
import re
from importlib import import_module
from typing import Any

from meshgym.traces.schema import COLUMNS, REQUIRED

_PLACE = re.compile(r"<!-- (?:help of (?P<program>\w+)|columns of a trace set) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill the places that comments mark."""
    return _PLACE.sub(lambda found: _help(found["program"]) if found["program"] else _columns(), markdown)


def _help(program: str) -> str:
    os.environ["COLUMNS"] = "84"  # argparse's lines, wherever the site is built
    parser = import_module(f"{program}.cli")._parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    texts = {program: parser} | {f"{program} {name}": command for name, command in commands.choices.items()}
    return "\n\n".join(f"### {title}\n\n```text\n{command.format_help()}```" for title, command in texts.items())


def _columns() -> str:
    lines = ["| column | unit | meaning | required |", "|---|---|---|---|"]
    for name, column in COLUMNS.items():
        lines.append(f"| `{name}` | {column.unit} | {column.meaning} | {'yes' if name in REQUIRED else ''} |")
    return "\n".join(lines)

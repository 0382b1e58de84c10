"""What MkDocs does beside its plugins: the commands' own help on their page, and Sphinx's roles in docstrings."""

from __future__ import annotations

import argparse
import os
import re
from importlib import import_module
from typing import Any

#: ``<!-- help of meshgym -->`` stands where that command's help goes.
_HELP_OF = re.compile(r"<!-- help of (\w+) -->")
#: What mkdocstrings makes of ``:class:`Mesh` ``.
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=<code>)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the help of commands in."""
    return _HELP_OF.sub(lambda found: _help(found[1]), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Leave the names of roles out."""
    return _ROLE.sub("", html)


def _help(program: str) -> str:
    os.environ["COLUMNS"] = "100"  # argparse's lines, wherever the site is built
    parser = import_module(f"{program}.cli")._parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    texts = {program: parser} | {f"{program} {name}": command for name, command in commands.choices.items()}
    return "\n\n".join(f"### {title}\n\n```text\n{command.format_help()}```" for title, command in texts.items())

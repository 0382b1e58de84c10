"""The blocks of README and docs as sessions that run.

A page is read from top to bottom, and its fenced blocks are one session in an empty folder: Python and shell are run,
and what stands below ``<!-- file: NAME -->`` is written to that file. Blocks of ``text`` are what was printed. A
comment in the line above sets a block apart:

    <!-- not run: WHY -->       somebody else runs it, or it takes too long
    <!-- run with: --epochs 1 -->    arguments that are put behind its one command, to make it short
"""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
#: Pages call our commands by name.
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
_DOCS = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "tables")
#: Pages that are executed when the site is built.
NOTEBOOKS = [page for page in _DOCS if page.read_text().startswith("---\nfile_format: mystnb")]
PAGES = [page for page in _DOCS if page not in NOTEBOOKS]
#: Blocks of the README that set up a machine; the continuous integration runs the second as it stands.
SET_UP = ("<!-- quickstart -->", "<!-- tests -->")
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>.*?) -->\n)?^```(?P<language>\S*).*\n(?P<text>(?s:.*?))^```$", re.MULTILINE)
_INDENTED = re.compile(r"^ {4,}(?:```|meshgym|meshagents|sphinx-build|python|pip|import|from) ", re.MULTILINE)


def steps(path):
    """The session of a page: pairs of a language and what to run; raises where a block would not be looked at."""
    text = path.read_text()
    assert not _INDENTED.findall(text), f"{path}: commands stand in fenced blocks, which are run"
    fences = re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE)
    assert len(fences) == 2 * len(_BLOCK.findall(text)), f"{path}: a fence that is not closed, or indented"
    for block in _BLOCK.finditer(text):
        kind, _, value = (block["mark"] or "").partition(": ")
        if block["language"] in ("text", "{eval-rst}") or block[0].startswith(SET_UP) or (kind == "not run" and value):
            continue
        if kind == "file":
            yield "bash", f"cat > {shlex.quote(value)} <<'END OF FILE'\n{block['text']}END OF FILE\n"
            continue
        assert block["language"] in ("python", "bash"), f"{path}: say why this block is not run:\n{block[0]}"
        if kind == "run with":
            assert block["text"].count("\n") == 1, f"{path}: one command to put arguments behind:\n{block[0]}"
            yield "bash", f"{block['text'].rstrip()} {value}\n"
        else:
            yield block["language"], block["text"]


def play(path, folder):
    """Run a page; blocks of Python that follow one another are one script."""
    programs = {"python": [sys.executable, "-W", "error", "-c"], "bash": ["bash", "-euxc"]}
    for language, same in itertools.groupby(steps(path), key=lambda step: step[0]):
        script = "".join(text for _, text in same)
        subprocess.run([*programs[language], script], cwd=folder, env=ENVIRONMENT, check=True, timeout=280)

"""Run what README and docs show, as it stands there, and build the site without a warning.

A page is read from top to bottom, and its fenced blocks are one session in an empty folder: Python and shell are run,
and what stands below ``<!-- file: NAME -->`` is written to that file. Blocks of ``text`` are what was printed. The
tutorials are executed when the site is built. A comment in the line above sets a block apart:

    <!-- not run: WHY -->       somebody else runs it, or it takes too long
    <!-- run with: --epochs 1 -->    arguments that are put behind its one command, to make it short
"""

import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import meshagents
import meshgym

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name not in ("tables", "tutorials"))
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
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
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    programs = {"python": [sys.executable, "-W", "error", "-c"], "bash": ["bash", "-euxc"]}
    for language, same in itertools.groupby(steps(path), key=lambda step: step[0]):
        script = "".join(text for _, text in same)
        subprocess.run([*programs[language], script], cwd=folder, env=environment, check=True, timeout=280)


@pytest.mark.envoy
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
@pytest.mark.slow
def test_a_page_does_what_it_says(page, tmp_path):
    play(page, tmp_path)


@pytest.mark.envoy
@pytest.mark.slow
def test_the_readme_does_what_it_says(tmp_path):
    command = [
        sys.executable,
        "-m",
        "meshagents",
        "quickstart",
        "--rows",
        "60",
        "--contexts",
        "4",
        "--epochs",
        "5",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL, timeout=280)
    play(README, tmp_path)


@pytest.mark.envoy
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?https?:[^>]*>", page.read_text()), page
    assert len(TUTORIALS) == 3
    for tutorial in TUTORIALS:
        html = (tmp_path / "tutorials" / f"{tutorial.stem}.html").read_text()
        assert html.count("cell_output") >= html.count("cell_input") // 2, f"{tutorial} was not executed"
        assert "<img" in html, f"{tutorial} has no figure"


@pytest.mark.parametrize("package", [meshgym, meshagents], ids=lambda package: package.__name__)
def test_every_public_name_is_on_its_reference_page(package):
    text = (ROOT / "docs" / "reference" / f"{package.__name__}.md").read_text()
    missing = [name for name in package.__all__ if not re.search(rf"(:: |`){package.__name__}\.{name}\b", text)]
    assert not missing


def test_every_extra_is_explained():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = (ROOT / "docs" / "index.md").read_text()
    assert [extra for extra in extras if f"| `{extra}` |" not in text] == []


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```yaml\na: 1\n```\n", "say why this block is not run"),
        ("<!-- not run: -->\n```yaml\na: 1\n```\n", "say why this block is not run"),
        ("- item\n\n  ```bash\n  true\n  ```\n", "or indented"),
        ("    meshagents train S1\n", "commands stand in fenced blocks"),
        ("<!-- run with: --epochs 1 -->\n```bash\ncd .\ntrue\n```\n", "one command"),
    ],
)
def test_a_block_that_nobody_runs_is_found(text, said, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n" + text)
    with pytest.raises(AssertionError, match=said):
        list(steps(page))


def test_blocks_become_a_session(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- file: a.toml -->\n```toml\na = 1\n```\n\n```python\nx = 1\n```\n\n```text\nshown\n```\n"
        "<!-- run with: two -->\n```bash\necho one\n```\n\n<!-- not run: too long -->\n```bash\nfalse\n```\n"
    )
    written, python, shell = steps(page)
    assert written == ("bash", "cat > a.toml <<'END OF FILE'\na = 1\nEND OF FILE\n")
    assert python == ("python", "x = 1\n")
    assert shell == ("bash", "echo one two\n")

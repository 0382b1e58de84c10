"""Build the site without a warning, its tutorials executed, and check what it must hold."""

import re
import subprocess
import sys
import tomllib

import pytest
from pages import ENVIRONMENT, NOTEBOOKS, PAGES, ROOT, steps

import meshagents
import meshgym


@pytest.mark.envoy
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?https?:[^>]*>", page.read_text()), page
    assert len(NOTEBOOKS) == 3
    for tutorial in NOTEBOOKS:
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

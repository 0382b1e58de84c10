"""What README and docs show is run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Blocks that set up a machine; the continuous integration runs the second as it stands.
NOT_RUN = ("<!-- quickstart -->", "<!-- tests -->")
_BLOCK = re.compile(r"(?P<mark><!--[^\n]*-->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)


def blocks(path, language):
    found = [block for block in _BLOCK.finditer(path.read_text()) if block["language"] == language]
    return [block["text"] for block in found if (block["mark"] or "").strip() not in NOT_RUN]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """A folder in which a small quickstart has been run."""
    folder = tmp_path_factory.mktemp("workplace")
    command = [sys.executable, "-m", "meshagents.cli", "quickstart", "--rows", "60", "--contexts", "4", "--epochs", "5"]
    subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL, timeout=280)
    return folder


@pytest.mark.envoy
def test_python_blocks_of_the_readme(workplace):
    for text in blocks(ROOT / "README.md", "python"):
        subprocess.run([sys.executable, "-W", "error", "-c", text], cwd=workplace, check=True, timeout=120)


@pytest.mark.envoy
def test_shell_blocks_of_the_readme(workplace):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for text in blocks(ROOT / "README.md", "bash"):
        environment = {**os.environ, "PATH": path}
        subprocess.run(["bash", "-euc", text], cwd=workplace, env=environment, check=True, timeout=280)


def test_there_are_blocks_to_run():
    assert len(blocks(ROOT / "README.md", "python")) == 1
    assert len(blocks(ROOT / "README.md", "bash")) == 1

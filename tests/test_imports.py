"""Data goes one way, so imports do; and ``import meshgym`` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
#: From the mesh to the report; nothing imports from further down.
ORDER = [
    "meshgym.errors",
    "meshgym.files",
    "meshgym.fields",
    "meshgym.types",
    "meshgym.rewards",
    "meshgym.scenarios",
    "meshgym.mesh",
    "meshgym.traces",
    "meshgym.simulator",
    "meshgym.envs",
    "meshgym.testing",
    "meshgym.cli",
    "meshagents",
]
HEAVY = {
    *("torch", "pandas", "sklearn", "scipy", "requests", "kubernetes", "envoy", "pyarrow", "matplotlib", "rich"),
    "cryptography",
}


def _room(module: str) -> int:
    return max((i for i, room in enumerate(ORDER) if f"{module}.".startswith(f"{room}.")), default=-1)


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_never_go_back(path):
    module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    if module in ("meshgym.__init__", "meshgym.__main__"):
        return  # they show everybody's names, and run the command line
    assert _room(module) >= 0, f"{module} is in no room of {ORDER}"
    back = [name for name in _imported(path) if _room(name) > _room(module)]
    assert not back


def test_importing_meshgym_is_light():
    code = "import sys, meshgym; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & HEAVY

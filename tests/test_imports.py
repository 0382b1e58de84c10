"""Imports follow the table of rooms in the docs; and ``import meshgym`` stays light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
TABLE = ROOT / "docs" / "explanation" / "architecture.md"
HEAVY = {
    *("torch", "pandas", "sklearn", "scipy", "requests", "kubernetes", "envoy", "pyarrow", "matplotlib", "rich"),
    *("cryptography", "cyclopts", "filelock", "jinja2", "yaml"),
}
#: They show everybody's names, and run the command lines.
FRONT_DOORS = {f"{package}{end}" for package in ("meshgym", "meshagents") for end in ("", ".__main__")}
PATHS = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def read_rooms():
    """Return each room's modules for others to use, and the rooms that it may import, in the order of the table."""
    rooms = {}
    for line in TABLE.read_text().splitlines():
        cells = [re.findall(r"`([\w.]+)`", cell) for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and len(cells[0]) == 1 and cells[0][0].startswith("mesh"):
            rooms[cells[0][0]] = ({f"{cells[0][0]}.{module}" for module in cells[2]}, cells[3])
    return rooms


ROOMS = read_rooms()


def room_of(module):
    """Return the smallest room that a module is in, or None."""
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len, default=None)


def imported(path):
    """Return the modules of the project that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= inner & PATHS.keys() or {node.module}
    return names & PATHS.keys()


def test_the_table_goes_one_way():
    """A room may import only what stands above it, so there can be no cycle."""
    names = list(ROOMS)
    assert len(names) > 20
    for i, (room, (modules, allowed)) in enumerate(ROOMS.items()):
        assert set(allowed) <= set(names[:i]), f"{room} may import what stands below it"
        assert modules <= PATHS.keys(), f"{room} has no such modules: {modules - PATHS.keys()}"


@pytest.mark.parametrize("module", sorted(PATHS.keys() - FRONT_DOORS))
def test_imports_follow_the_table(module):
    room = room_of(module)
    assert room, f"{module} is in no room of {TABLE.name}"
    for other in imported(PATHS[module]) - FRONT_DOORS:
        target = room_of(other)
        if target != room:
            assert target in ROOMS[room][1], f"{module} imports {other}, but {room} may not import {target}"
            modules = ROOMS[target][0]
            assert other == target or other in modules, f"{module} uses {other}, which is not for others"


@pytest.mark.parametrize("package", ["meshgym", "meshagents"])
def test_importing_is_light(package):
    code = f"import sys, {package}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded or package == "meshagents"
    assert not loaded & HEAVY

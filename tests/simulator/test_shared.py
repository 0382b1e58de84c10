"""Large tables lie in memory that processes share, and nothing of it is left behind."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meshgym.simulator import lazy, shared
from meshgym.simulator.lazy import LazyRows

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or not Path("/dev/shm").is_dir(), reason="memory is shared on Linux on x86_64 only"
)
OTHER = """
import sys, time
import numpy as np
from pathlib import Path
from meshgym.simulator import lazy, shared
shared._FOLDER, lazy._SHARED_FROM = Path(sys.argv[1]), 0
rows = lazy.LazyRows(1000, 8, "test", lambda numbers: [numbers * 2.0])
rows.read(np.arange(500))
print("read", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "_FOLDER", tmp_path)
    monkeypatch.setattr(lazy, "_SHARED_FROM", 0)
    return tmp_path / f"meshgym-{os.getuid()}"


@pytest.fixture
def other(folder):
    """Another process that computed the first 500 of 1,000 rows."""
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(folder.parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"read\n"
        yield process
        process.kill()


def rows(name="test", computed=None):
    def compute(numbers):
        if computed is not None:
            computed.extend(numbers.tolist())
        return [numbers * 2.0]

    return LazyRows(1000, 8, name, compute)


def test_what_another_process_computed_is_there(folder, other):
    computed = []
    mine = rows(computed=computed)
    assert mine.read(np.arange(1000))[:, 0].tolist() == [2.0 * number for number in range(1000)]
    assert computed == list(range(500, 1000))
    assert mine.entries[:, 1:].max() == 0


def test_another_name_is_other_memory(folder, other):
    computed = []
    rows("other", computed).read(np.arange(3))
    assert computed == [0, 1, 2]


def test_the_last_process_removes_it(folder, other):
    mine = rows()
    (file,) = folder.iterdir()
    other.communicate(b"")
    assert other.returncode == 0
    assert file.exists()
    del mine
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(folder, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    (left,) = folder.iterdir()
    mine = rows("other")
    assert not left.exists()
    del mine


def test_that_all_is_computed_is_noticed(folder, other, monkeypatch):
    monkeypatch.setattr(lazy, "_RECOUNT", 3)
    mine = rows()
    mine.read(np.arange(500, 1000))
    for _ in range(3):
        mine.read(np.arange(10))
    assert mine._left == 0


@pytest.mark.parametrize("reason", ["no room", "nobody else may read it", "not there", "another machine"])
def test_without_shared_memory_it_is_private(folder, reason, monkeypatch):
    if reason == "no room":
        monkeypatch.setattr(shared, "_MOST", 1e-12)
    elif reason == "nobody else may read it":
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    elif reason == "not there":
        monkeypatch.setattr(shared, "_FOLDER", folder / "none")
    else:
        monkeypatch.setattr(platform, "machine", lambda: "arm64")
    computed = []
    mine = rows(computed=computed)
    assert mine.read(np.arange(4))[:, 0].tolist() == [0, 2, 4, 6]
    assert computed == [0, 1, 2, 3]
    assert not folder.exists() or not list(folder.iterdir())

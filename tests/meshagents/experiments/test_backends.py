"""Table 5 on a local Dask or Ray cluster: the same numbers as without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory, shop_text, simulator):
    """The shop with its simulator, as an argument of the command."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "shop.toml").write_text(shop_text)
    return f"{folder / 'shop.toml'}={simulator.save(folder / 'simulator.npz')}"


def _table5(service: str, backend: str, folder: Path) -> bytes:
    """What the command writes into ``table5.csv``."""
    command = [sys.executable, "-m", "meshagents", "table5", service, "--seeds", "1", "--epochs", "2"]
    command += ["--jobs", "2", "--backend", backend, "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "table5.csv").read_bytes()


@pytest.fixture(scope="module")
def without_cluster(service, tmp_path_factory):
    return _table5(service, "loky", tmp_path_factory.mktemp("loky"))


@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_local_cluster_gives_the_same_table(service, without_cluster, tmp_path, backend, package):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install 'meshgym[{backend}]'")
    assert _table5(service, backend, tmp_path) == without_cluster
    assert without_cluster.count(b"\n") == 6  # a heading and five configurations

"""A run counts only if it was sound, and nobody else can use the mesh."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from mesh.services import PLENTY, WIDE, envoys_in, wait, when_busy

from meshgym.errors import DisturbedError, FolderError, MeshError, MeshStartError
from meshgym.mesh.embedded import process, response
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.mesh.load.flow import LoadResult
from meshgym.types import Load

pytestmark = pytest.mark.envoy

#: What programs begin with that use a mesh in a process of their own.
PROGRAM = """
import os
import resource
from mesh.services import *
from meshgym.errors import MeshError
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.mesh.load.flow import Flow
from meshgym.rules.policy import traffic_policy
from meshgym.types import Load, Response
"""


def run_program(text):
    command = [sys.executable, "-c", PROGRAM + text]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=_with_tests())


@pytest.mark.parametrize("victim", ["sidecar", "service"])
def test_a_run_in_which_an_envoy_stood_still_is_made_again(victim):
    """It would be a row like any other, with a tenth of the rate."""
    slow = replace(PLENTY, service_time_ms=5)
    with EmbeddedMesh(profile=slow) as mesh, ThreadPoolExecutor(1) as pool:
        calm = mesh.measure(WIDE, Load(2, 200))

        def stand_still():
            pid = when_busy(mesh, victim, signal.SIGSTOP)
            time.sleep(1.5)
            os.kill(pid, signal.SIGCONT)

        stopped = pool.submit(stand_still)
        disturbed = mesh.measure(WIDE, Load(2, 200))
        stopped.result()
    assert disturbed.details["duration_s"] < 1.5
    assert disturbed.p200 == calm.p200 == 1


def test_a_run_that_is_disturbed_each_time_is_an_error(plenty, monkeypatch):
    monkeypatch.setattr(response, "_STANDSTILL_S", -1.0)
    with pytest.raises(DisturbedError, match="something stopped this process or an Envoy"):
        plenty.measure(WIDE, Load(1, 10))


def test_calls_of_others_and_reset_counters_are_noticed():
    result = LoadResult(latencies_s=[0.001] * 10, ok=10)
    response.check_sound(result, Load(1, 10), PLENTY)
    response.check_counters(10, 0, Load(1, 10))
    for seen, ejections in ((11, 0), (9, 0), (10, -1)):
        with pytest.raises(DisturbedError, match="somebody else uses this mesh, or reset its counters"):
            response.check_counters(seen, ejections, Load(1, 10))


def test_calls_that_the_sidecar_broke_off_are_not_the_services():
    result = LoadResult(latencies_s=[0.001] * 10, ok=9, broken=1)
    with pytest.raises(DisturbedError, match="broke 1 connections off"):
        response.check_sound(result, Load(1, 10), PLENTY)


def test_another_thread_and_a_forked_child_may_not_use_a_mesh(plenty):
    with ThreadPoolExecutor(1) as pool, pytest.raises(MeshError, match="belongs to the process and thread"):
        pool.submit(plenty.measure, WIDE, Load(1, 10)).result()
    code = (
        "mesh = EmbeddedMesh(profile=PLENTY)\n"
        "if not os.fork():\n"
        "    try: mesh.measure(WIDE, Load(1, 10))\n"
        "    except MeshError as error: print(error, flush=True)\n"
        "    mesh.close()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(mesh.measure(WIDE, Load(1, 10)).p200, flush=True)\n"  # the child's close() left it alone
        "mesh.close()\n"
    )
    said = run_program(code)
    assert said.stdout.splitlines() == [
        "this mesh belongs to the process and thread that made it; make another one here",
        "1.0",
    ], said.stderr


def test_a_forked_child_that_closes_its_copy_leaves_a_run_under_way_alone():
    code = (
        "mesh = EmbeddedMesh(profile=PLENTY)\n"
        "mesh.begin(0, traffic_policy(WIDE), Load(4, 400))\n"
        "while not isinstance(mesh._runs[0].step, Flow): mesh.completed()\n"
        "if not os.fork():\n"
        "    mesh.close()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "while not (ended := mesh.completed()): pass\n"
        "print(getattr(ended[0][1], 'p200', ended[0][1]))\n"
        "mesh.close()\n"
    )
    said = run_program(code)
    assert said.stdout == "1.0\n", said


def test_a_forked_child_does_not_keep_a_mesh_alive():
    code = (
        "import os, time; from meshgym.mesh.embedded.mesh import EmbeddedMesh; mesh = EmbeddedMesh('S2')\n"
        "child = os.fork()\n"
        "if child: print(mesh._envoys.folder, child, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        folder, child = parent.stdout.readline().split()
        parent.kill()
        try:
            wait(lambda: not envoys_in(folder) and not Path(folder).exists())
        finally:
            os.kill(int(child), signal.SIGKILL)


def _with_tests():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_few_descriptors_are_no_failure_of_the_service():
    """Either the mesh gets what it needs, or it says that it doesn't: a run is never booked as refused."""
    code = (
        "import resource, sys; from mesh.services import *; from meshgym.types import Load\n"
        "from meshgym.errors import MeshGymError; from meshgym.mesh.embedded.mesh import EmbeddedMesh\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))\n"
        "try:\n"
        "    with EmbeddedMesh(profile=PLENTY) as mesh: print(mesh.measure(WIDE, Load(40, 400)).p200)\n"
        "except MeshGymError as error: print(type(error).__name__, error)\n"
    )
    for soft, hard, says in ((100, 4096, "1.0"), (100, 100, "LoadError 40 connections need 180 descriptors")):
        said = subprocess.run(
            [sys.executable, "-c", code, str(soft), str(hard)],
            capture_output=True,
            text=True,
            timeout=60,
            env=_with_tests(),
        )
        assert said.stdout.startswith(says), said


def test_lanes_that_begin_together_get_their_descriptors():
    code = (
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))\n"
        "with EmbeddedMesh(profile=PLENTY, lanes=16) as mesh:\n"
        "    for lane in range(16): mesh.begin(lane, traffic_policy(WIDE), Load(20, 100))\n"
        "    ended = []\n"
        "    while len(ended) < 16: ended += mesh.completed()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 2 * 16 * 20)\n"
        "print({type(result) is Response or str(result) for _, result in ended})\n"
    )
    said = run_program(code)
    assert said.stdout == "True\n{True}\n", said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_finds_nothing_to_reach(plenty):
    folder = plenty._envoys.folder
    port = plenty._client.address[1]
    code = (
        "import encodings.idna, os, socket, sys; os.setgid(65534); os.setuid(65534); folder, port = sys.argv[1:]\n"
        "for path in (folder, f'{folder}/sidecar.sock'):\n"
        "    try: socket.socket(socket.AF_UNIX).connect(path) if path.endswith('.sock') else os.listdir(path)\n"
        "    except PermissionError: print('refused', flush=True)\n"
        "other = socket.create_connection(('127.0.0.1', int(port)), 5)\n"
        "other.sendall(b'GET / HTTP/1.1\\r\\nhost: service\\r\\nx-meshgym-cluster: outbound|8000|lane-0|"
        "service.default.svc.cluster.local\\r\\n\\r\\n')\n"
        "print(other.recv(20).decode().split()[1])\n"
    )
    plenty.measure(WIDE, Load(1, 10))
    said = subprocess.run([sys.executable, "-I", "-c", code, str(folder), str(port)], capture_output=True, text=True)
    assert said.stdout.split() == ["refused", "refused", "503"], said.stderr  # 503: no such cluster
    assert folder.stat().st_mode & 0o777 == 0o700
    assert plenty.measure(WIDE, Load(1, 10)).p200 == 1


def test_a_folder_that_is_too_long_for_sockets_is_told(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with pytest.raises(FolderError, match="set TMPDIR to a shorter folder"):
        EmbeddedMesh(profile=PLENTY)
    assert not list(long.iterdir())


def test_no_folder_is_left_if_a_mesh_does_not_start(monkeypatch):
    with tempfile.TemporaryDirectory(prefix="m") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        monkeypatch.setenv("MESHGYM_ENVOY", "/bin/false")
        with pytest.raises(MeshStartError, match="ended with status 1"):
            EmbeddedMesh(profile=PLENTY)
        assert not os.listdir(folder)  # noqa: PTH208


def test_another_envoy_is_used_if_it_is_one(monkeypatch):
    ours = process.envoy_binary()
    monkeypatch.setenv("MESHGYM_ENVOY", str(ours))
    assert process.envoy_binary() == ours
    monkeypatch.setenv("MESHGYM_ENVOY", "/bin/true")
    with pytest.raises(MeshStartError, match=r"/bin/true doesn't say its version .*is it an Envoy"):
        process.envoy_identity()
    monkeypatch.setenv("MESHGYM_ENVOY", "/nowhere/envoy")
    with pytest.raises(MeshStartError, match="MESHGYM_ENVOY is '/nowhere/envoy', which is no program"):
        process.envoy_binary()

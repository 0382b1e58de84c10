"""What docs/how-to/cluster.md shows is run against stand-ins; its manifest gives the rights that are needed."""

from __future__ import annotations

import atexit
import re
import shlex
from pathlib import Path

import pytest
import yaml
from collected import rows_of

from meshagents.cli.main import main as meshagents
from meshgym.cli import doctor
from meshgym.cli.main import main
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.scenarios import load_scenario
from meshgym.types import Load, TrafficRules

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "cluster.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def _leave_on_loan(world):
    mesh = IstioMesh(**world.arguments())
    mesh.measure(TrafficRules(max_connections=3), Load(2, 20))
    atexit.unregister(mesh.close)
    mesh._open.close()


@pytest.fixture
def here(world):
    """Leads what the page says to the stand-ins."""
    ports = {"http://localhost:8080": world.fortio.url, "http://localhost:15000": world.admin.url}
    return lambda text: re.sub("|".join(ports), lambda found: ports[found[0]], text)


def test_its_commands(here, world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("meshgym ")]
    assert len(commands) == 6
    for command in commands:
        if "--copies" in command:
            continue  # tests/cli/test_copies.py
        if "--restore" in command:
            _leave_on_loan(world)
        accept = ["--accept", "http2_max_requests", "load_balancer"] if " collect " in command else []
        assert main([*shlex.split(here(command))[1:], *accept]) == 0, capsys.readouterr().err
        assert world.restored
    assert len(rows_of(tmp_path / "collections" / "S2")) == 20


def test_its_python(here, world, capsys):
    (text,) = blocks("python")
    exec(here(text), {})
    qps, p503, reward = map(float, capsys.readouterr().out.split())
    assert reward == pytest.approx(qps * p503)
    assert world.restored


@pytest.mark.slow
def test_an_agent_is_validated_in_the_cluster(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert meshagents(["train", "S1", "--configuration", "Thread", "--epochs", "1", "--out", "agent.npz"]) == 0
    assert meshagents(["validate", "agent.npz", "--contexts", "2", "--repeats", "1", *world.options()]) == 0
    assert "S1: mean reward" in capsys.readouterr().out
    assert world.sent
    assert world.restored


def test_its_manifest_gives_the_rights_the_doctor_asks_for(world):
    arguments = world.arguments(host="httpbin", sidecar="default/fortio")
    assert all(isinstance(finding, str) for finding in doctor.check_cluster(arguments, load_scenario("S1")))
    (text,) = blocks("yaml")
    role, binding = yaml.safe_load_all(text)
    given = {(verb, kind) for rule in role["rules"] for kind in rule["resources"] for verb in rule["verbs"]}
    assert given == world.api.reviewed
    assert binding["roleRef"]["name"] == role["metadata"]["name"]

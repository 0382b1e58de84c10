"""What stands in deploy/ fits Kubernetes' schemas and its linters, and the job's commands do what they should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from collected import rows_of
from mesh.cluster.standins.world import World

from meshgym.cli import doctor
from meshgym.cli.main import main
from meshgym.cli.mesh_options import ClusterOptions
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.scenarios import load_scenario
from meshgym.types import Load, TrafficRules

FOLDER = Path(__file__).parents[3] / "deploy"
NOBODY = 65534


def documents(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


RESOURCES = documents("kustomization.yaml")[0]["resources"]


@pytest.mark.parametrize("name", RESOURCES)
@pytest.mark.parametrize("release", ["1.30", "1.36"])
def test_a_manifest_fits_the_schemas_of_kubernetes(name, release):
    for document in documents(name):
        kubernetes_validate.validate(document, release, strict=True)


def linted(program, path):
    command = [Path(sysconfig.get_path("scripts")) / program, path]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_image_and_the_script_pass_their_linters(tmp_path):
    for program, name in {"hadolint": "Dockerfile", "shellcheck": "try.sh"}.items():
        done = linted(program, FOLDER / name)
        assert done.returncode == 0, done.stdout
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp && sudo pip install x\n")
    assert linted("hadolint", tmp_path / "Dockerfile").returncode != 0


def test_the_account_has_the_rights_the_doctor_asks_for(world):
    options = ClusterOptions(
        **{key.replace("-", "_"): value for key, value in tomllib.loads((FOLDER / "cluster.toml").read_text()).items()}
    )
    arguments = {**options.arguments(), "fortio_url": world.fortio.url, "sidecar": world.admin.url}
    assert all(isinstance(finding, str) for finding in doctor.check_cluster(arguments, load_scenario("S1")))
    (role,) = (one for one in documents("account.yaml") if one["kind"] == "Role")
    given = {(verb, kind) for rule in role["rules"] for kind in rule["resources"] for verb in rule["verbs"]}
    assert given == world.api.reviewed


def pod():
    return documents("job.yaml")[0]["spec"]["template"]["spec"]


def test_every_container_is_locked():
    spec = pod()
    assert spec["securityContext"]["runAsNonRoot"] is True
    for container in [*spec["initContainers"], *spec["containers"]]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def commands():
    containers = [*pod()["initContainers"], *pod()["containers"]]
    return {one["name"]: one["args"] for one in containers if one["image"] == "meshgym"}


@pytest.fixture
def mounted(world, tmp_path):
    """The options as the pod has them, leading to the stand-ins, and a volume."""
    data = tmp_path / "data"
    data.mkdir()
    places = {
        "http://localhost:8080/fortio/": f"{world.fortio.url}/fortio/",
        "http://localhost:15000": world.admin.url,
        "/data/": f"{data}/",
        "rows = 200": "rows = 4\naccept = ['http2_max_requests', 'load_balancer']",
    }
    for name in ("cluster.toml", "collect.toml"):
        text = (FOLDER / name).read_text()
        (tmp_path / name).write_text(re.sub("|".join(places), lambda found: places[found[0]], text))
    return lambda name: [argument.replace("/options", str(tmp_path)) for argument in commands()[name]]


def test_a_pod_that_was_evicted_goes_on_after_its_restart(world: World, mounted, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "data" / "state"))
    evicted = IstioMesh(**world.arguments())
    evicted.measure(TrafficRules(max_connections=3), Load(2, 20))
    evicted._open.close()  # as if it were killed
    assert list(commands()) == ["give-back", "doctor", "collect"]
    for name in commands():
        assert main(mounted(name)) == 0, capsys.readouterr().err
    assert len(rows_of(tmp_path / "data" / "S2")) == 4
    assert world.restored
    evicted._borrowed._written.clear()
    evicted.close()


@pytest.mark.slow
def test_the_jobs_command_runs_as_somebody_without_a_home_to_write_to(world, mounted, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    data = tmp_path / "data"
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.getuid() and path.is_relative_to("/tmp"):
            path.chmod(0o755)
    os.chown(data, *((NOBODY, NOBODY) if os.getuid() == 0 else (-1, -1)))
    account = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    environment = {
        **{"HOME": str(home), "XDG_STATE_HOME": str(data / "state"), "TMPDIR": str(data)},
        **{"KUBECONFIG": str(world.kubeconfig), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    }
    python = {"cwd": data, "env": environment, "capture_output": True, "text": True, **account}
    try:
        subprocess.run([sys.executable, "-c", "import meshgym"], check=True, **python)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("this environment lies where only its owner can enter")
    for name in commands():
        done = subprocess.run([sys.executable, "-m", "meshgym", *mounted(name)], **python)
        assert done.returncode == 0, done.stderr
    assert len(rows_of(data / "S2")) == 4
    assert not list(home.iterdir())
    assert world.restored

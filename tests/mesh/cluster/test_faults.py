"""What goes wrong in a cluster ends in a typed error, with the rule put back and no row lost."""

from __future__ import annotations

import errno
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from collected import rows_of
from mesh.cluster.standins.server import Fault

from meshgym.errors import (
    AccessDeniedError,
    AwayError,
    ClusterError,
    FolderError,
    InvalidValueError,
    RulesRefusedError,
)
from meshgym.mesh.cluster.api import Cluster
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.mesh.embedded.certificates import make_certificates
from meshgym.traces.collect import collect
from meshgym.traces.collection import FILENAME, read_given_up
from meshgym.traces.store import load_traces
from meshgym.types import Load, TrafficRules

RULES = TrafficRules(2, 1, 4, 180, 50, 0.25, 6)
LOAD = Load(5, 40)
API = "/destinationrules/httpbin"
NO_ENDPOINTS = {"kind": "Status", "status": "Failure", "message": "no endpoints available for service", "code": 503}


def journals(folder):
    return list((folder / "state" / "meshgym").glob("*.json"))


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PATCH", API, 429, headers={"Retry-After": "0"}),
        Fault("PATCH", API, 500, times=3),
        Fault("PATCH", API, 503, body="upstream connect error"),
        Fault("PATCH", API, reset=True),
        Fault("PATCH", API, reset=True, late=True),  # it was carried out; only the answer is lost
        Fault("PATCH", API, 504, hang_s=0.5, late=True),
        Fault("PUT", API, 429, headers={"Retry-After": "0"}),
        Fault("PUT", API, 500, times=3),
        Fault("PUT", API, reset=True, late=True),
        Fault("GET", API, 500),
    ],
    ids=lambda fault: f"{fault.method} {fault.status}{' reset' * fault.reset}{' late' * fault.late}",
)
def test_what_passes_is_waited_for(world, tmp_path, fault):
    world.api.faults.append(fault)
    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        mesh.measure(RULES, LOAD)
    assert not world.api.faults
    assert len(world.sent) == 2
    assert world.restored
    assert not journals(tmp_path)


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Fault("PATCH", API, 429, {"message": "slow down"}, {"Retry-After": "0"}, times=9), AwayError, "429, slow"),
        (Fault("PATCH", API, 500, times=9), AwayError, "HTTP 500"),
        (Fault("PATCH", API, reset=True, times=9), AwayError, "no response from the API server"),
        (Fault("PATCH", API, hang_s=0.5, late=True, times=9), AwayError, "no response from the API server"),
        (Fault("PATCH", API, 200, "<html>log in</html>"), ClusterError, "something other than the DestinationRule"),
        (Fault("PATCH", API, 409, {"message": "modified"}, times=9), ClusterError, "another version each time"),
        (Fault("PATCH", API, 403, {"message": "me cannot"}), AccessDeniedError, "me cannot.*docs/how-to/cluster.md"),
        (Fault("PATCH", API, 401), AccessDeniedError, "HTTP 401"),
        (Fault("PATCH", API, 422, {"message": "is invalid"}), RulesRefusedError, "is invalid"),
    ],
    ids=lambda value: f"{value.status}{' reset' * value.reset}" if isinstance(value, Fault) else "",
)
def test_what_does_not_pass_is_a_typed_error(world, tmp_path, fault, error, message):
    world.api.faults.append(fault)
    with IstioMesh(**world.arguments(wait_s=0)) as mesh:
        with pytest.raises(error, match=message):
            mesh.measure(RULES, LOAD)
        assert not world.sent
        world.api.faults.clear()
        mesh.measure(RULES, LOAD)  # and the mesh goes on
    assert world.restored
    assert not journals(tmp_path)


@pytest.mark.parametrize("late", [False, True])
def test_after_a_change_that_failed_the_next_run_is_fresh_all_the_same(world, late):
    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        world.api.faults.append(Fault("PATCH", API, 403, late=late))
        with pytest.raises(AccessDeniedError):
            mesh.measure(RULES, LOAD)
        mesh.measure(RULES, LOAD)
    before, after = (policy["connectionPool"]["tcp"]["connectTimeout"] for policy, _ in world.sent)
    assert before != after


def test_an_api_server_that_is_gone(world):
    url = world.api.url
    world.api.close()
    with pytest.raises(AwayError, match=f"cannot read DestinationRule default/httpbin on {url}: no response"):
        IstioMesh(**world.arguments())


def test_without_istio(world):
    world.api.faults.append(Fault("GET", API, 404, "404 page not found"))
    with pytest.raises(ClusterError, match="Is Istio installed"):
        IstioMesh(**world.arguments())


@pytest.mark.parametrize(
    ("config", "message"),
    [("", "no cluster"), ("a: [", "no cluster"), (None, "no cluster: .*set KUBECONFIG")],
)
def test_without_a_usable_kubeconfig(world, config, message):
    world.kubeconfig.unlink()
    if config is not None:
        world.kubeconfig.write_text(config)
    with pytest.raises(ClusterError, match=message):
        IstioMesh(**world.arguments())


def test_an_unknown_context(world):
    with pytest.raises(ClusterError, match=r"no cluster: .*production"):
        IstioMesh(**world.arguments(kube_context="production"))


def test_in_a_pod_its_own_account_is_used(world, tmp_path, monkeypatch):
    for name in ("SERVICE_TOKEN_FILENAME", "SERVICE_CERT_FILENAME"):
        (tmp_path / name).write_text("something")
        monkeypatch.setattr(f"kubernetes.config.incluster_config.{name}", str(tmp_path / name))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    for name, value in {"HOST": "10.1.2.3", "PORT": "443"}.items():
        monkeypatch.setenv(f"KUBERNETES_SERVICE_{name}", value)
    with pytest.raises(ClusterError, match="no cluster"):
        Cluster("default", "httpbin", kube_context="production")
    monkeypatch.delenv("KUBECONFIG")
    assert Cluster("default", "httpbin").server == "https://10.1.2.3:443"
    (tmp_path / "SERVICE_TOKEN_FILENAME").unlink()
    with pytest.raises(ClusterError, match="no cluster"):
        Cluster("default", "httpbin")


def test_tls_is_verified(world, tmp_path):
    certificates = make_certificates(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.folder / "workload.pem", certificates.folder / "workload.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    url = f"https://127.0.0.1:{server.server_port}"
    try:
        world.kubeconfig.write_text(world.kubeconfig.read_text().replace(world.api.url, url))
        with pytest.raises(ClusterError, match="certificate verify failed"):
            IstioMesh(**world.arguments())
    finally:
        server.shutdown()
        server.server_close()


def test_tls_verification_cannot_be_turned_off(world, tmp_path):
    world.api.kubeconfig(tmp_path, **{"insecure-skip-tls-verify": True})
    with pytest.raises(ClusterError, match="turns TLS verification off"):
        IstioMesh(**world.arguments())


def test_a_change_of_anything_but_the_content_is_kept(world):
    """istiod writes a status, others annotate: the version moves on, and that is no reason to stop."""
    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        world.api.put("default", "httpbin", world.rule["spec"], annotations={"note": "theirs"})
        mesh.measure(RULES, LOAD)
        world.api.put("default", "httpbin", world.rule["spec"], annotations={"note": "theirs, again"})
    assert world.rule["spec"] == world.found["spec"]
    assert world.rule["metadata"]["annotations"] == {"note": "theirs, again"}


def test_a_sidecar_that_is_gone(world):
    world.admin.close()
    mesh = IstioMesh(**world.arguments(wait_s=0))
    with mesh, pytest.raises(AwayError, match="does `kubectl port-forward` still"):
        mesh.measure(RULES, LOAD)
    assert world.restored


def test_a_pod_without_a_sidecar(world):
    world.api.admin = None
    with IstioMesh(**world.arguments(sidecar="default/fortio", wait_s=0)) as mesh:
        with pytest.raises(AwayError, match=r"port 15000 of pod default/fortio doesn't respond: .*refused"):
            mesh.measure(RULES, LOAD)
        world.api.denied.add(("get", "pods/portforward"))
        with pytest.raises(AccessDeniedError, match=r"cannot forward port 15000 .*: HTTP 403, Forbidden\. The rights"):
            mesh.measure(RULES, LOAD)
        world.api.no_pod = True
        with pytest.raises(ClusterError, match="there is no such pod; `kubectl get pods`") as caught:
            mesh.measure(RULES, LOAD)
        assert len(str(caught.value)) < 200
    assert world.restored


def test_a_full_disk_changes_nothing_in_the_cluster(world, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        before = world.rule
        (journal,) = journals(tmp_path)
        text = journal.read_text()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(FolderError, match=r"No space left on device.*nothing was changed in the cluster"):
                mesh.measure(RULES, LOAD)
        assert world.rule == before
        assert journal.read_text() == text
        mesh.measure(RULES, LOAD)
    assert world.restored
    assert not [path for path in journal.parent.iterdir() if path.suffix != ".lock"]


def test_no_place_for_a_journal(world, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    with pytest.raises(FolderError, match=r"cannot write the journal /dev/null/meshgym.*nothing was changed"):
        IstioMesh(**world.arguments())


def test_no_row_of_a_collection_is_lost(world, shop, tmp_path):
    """Faults all along the way: every run is measured in the end, once."""
    world.fortio.faults += [Fault("POST", "run", 503, NO_ENDPOINTS), Fault("POST", "run", reset=True)]
    world.api.faults += [Fault("PATCH", API, 500, times=7), Fault("PATCH", API, 403, times=2)]
    with IstioMesh(**world.arguments()) as mesh:
        frame = load_traces(collect(shop, tmp_path / "rows", rows=12, mesh=mesh))
    assert sorted(frame["run"]) == list(range(12))
    assert frame["attempt"].max() > 1
    assert world.restored


def test_what_no_attempt_mends_ends_a_collection_and_it_goes_on_later(world, shop, tmp_path):
    folder = tmp_path / "rows"
    mesh = IstioMesh(**world.arguments(max_calls=200))
    with mesh, pytest.raises(InvalidValueError, match="max_calls=200"):
        collect(shop, folder, rows=12, mesh=mesh)
    kept = rows_of(folder)
    assert len(kept) > 1
    assert not read_given_up(folder / FILENAME)
    with IstioMesh(**world.arguments()) as mesh:
        frame = load_traces(collect(shop, folder, rows=12, mesh=mesh))
    assert rows_of(folder)[: len(kept)] == kept
    assert sorted(frame["run"]) == list(range(12))

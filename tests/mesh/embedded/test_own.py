"""A service of the user's own behind the embedded mesh: HTTP/1.1, HTTP/2, gRPC, TLS; probes; other hosts."""

import datetime
import ipaddress
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import gymnasium as gym
import pytest

from meshgym.errors import FileError, InvalidValueError, LimitError, LoadError, MeshStartError
from meshgym.mesh.embedded.bootstrap import bootstrap, connection_manager
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.mesh.embedded.process import EnvoyGroup
from meshgym.mesh.limits import AllowedHost, CallLimits
from meshgym.service.own import OwnService
from meshgym.testing import check_mesh
from meshgym.types import Load, TrafficRules

pytestmark = pytest.mark.envoy
ROOM = TrafficRules(max_connections=100)


class _Handler(BaseHTTPRequestHandler):
    """Does as its path says."""

    protocol_version = "HTTP/1.1"
    ill_until = 0.0

    def _respond(self):
        server = self.server
        server.seen.append((self.command, self.path, dict(self.headers.items())))
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status = 503 if time.monotonic() < server.ill_until else int(self.path.strip("/").split("?")[0] or 200)
        if self.command == "POST" and body != b"hi":
            status = 400
        answer = b"" if self.command == "HEAD" or status == 204 else b"ok"
        length = f"content-length: {len(answer)}\r\n" if status != 204 else ""
        self.wfile.write(f"HTTP/1.1 {status} fine\r\n{length}\r\n".encode() + answer)

    do_GET = do_POST = do_HEAD = _respond  # noqa: N815 (the names of http.server)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Start servers; return their ports."""
    servers = []

    def start(context=None):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.daemon_threads = True
        server.seen, server.ill_until = [], 0.0
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def url(server, path="/200", scheme="http"):
    return f"{scheme}://127.0.0.1:{server.server_address[1]}{path}"


def test_requests_are_as_the_section_has_them(serve, monkeypatch):
    server = serve()
    monkeypatch.setenv("MESHGYM_TEST_TOKEN", "abc")
    service = OwnService(
        url=url(server, "/201?a=1"), method="POST", body="hi", headers={"x-token": "${MESHGYM_TEST_TOKEN}"}, status=201
    )
    with EmbeddedMesh(profile=service) as mesh:
        assert mesh.measure(ROOM, Load(2, 10)).p200 == 1
        assert "abc" not in str(mesh.about())
    method, path, headers = server.seen[-1]
    assert (method, path) == ("POST", "/201?a=1")
    assert headers["x-token"] == "abc"
    assert headers["host"] == f"127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/200"), ("GET", "/204"), ("GET", "/404")])
def test_what_a_success_is(serve, method, path):
    service = OwnService(url=url(serve(), path), method=method, status=int(path[1:]))
    with EmbeddedMesh(profile=service) as mesh:
        assert mesh.measure(ROOM, Load(2, 20)).p200 == 1


def test_it_keeps_the_contract_of_a_mesh(serve, shop):
    service = OwnService(url=[url(serve()), url(serve())])
    check_mesh(lambda: EmbeddedMesh(shop, profile=service), shop)


def test_an_environment_steps_on_it(serve, shop):
    scenario = replace(shop, service=OwnService(url=url(serve())))
    with gym.make("meshgym:LiveIstio-v0", scenario=scenario, control="both") as env:
        env.reset(seed=0)
        _, reward, _, _, info = env.step(env.action_space.sample())
    assert info["qps"] > 0
    assert reward == info["qps"] * info["p503"]


def test_rules_protect_it(serve):
    with EmbeddedMesh(profile=OwnService(url=url(serve()))) as mesh:
        tight = mesh.measure(TrafficRules(max_connections=1, http1_max_pending_requests=1), Load(16, 160))
    assert tight.details["overflow"] > 20


def test_replicas_share_the_calls(serve):
    one, other = serve(), serve()
    with EmbeddedMesh(profile=OwnService(url=[url(one), url(other)])) as mesh:
        mesh.measure(ROOM, Load(4, 200))
    assert min(len(one.seen), len(other.seen)) > 40


def test_a_run_waits_until_the_service_has_recovered(serve):
    server = serve()
    with EmbeddedMesh(profile=OwnService(url=url(server), probe_s=1)) as mesh:
        server.ill_until = time.monotonic() + 0.4
        assert mesh.measure(ROOM, Load(1, 10)).p200 == 1
        server.ill_until = time.monotonic() + 60
        with pytest.raises(LoadError, match=r"responds with 503.*hasn't recovered in 1 s \(probe_s\)"):
            mesh.measure(ROOM, Load(1, 10))


def test_a_service_that_does_not_respond_as_it_should(serve):
    server = serve()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as gone:
        nobody = url(gone)
    for where, said in {
        url(server, "/404"): r"responds with 404 \(Not Found\), and a success is 200",
        nobody: r"can't be reached: the connection is refused",
        url(server, scheme="https"): r"doesn't speak TLS as expected .*WRONG_VERSION_NUMBER",
        "http://no-such-host.invalid/": r"the host 'no-such-host.invalid' isn't known here",
    }.items():
        with pytest.raises(MeshStartError, match=said) as found:
            EmbeddedMesh(profile=OwnService(url=where))
        assert where in str(found.value)


def certificate(folder, key_name="server"):
    """Make a certificate of 127.0.0.1 that is its own authority; return its file, and a context that serves it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name.from_rfc4514_string(f"CN={key_name}")
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    encoding = serialization.Encoding.PEM
    file, secret = folder / f"{key_name}.pem", folder / f"{key_name}.key"
    file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(encoding, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return file, context


def test_its_certificate_must_be_trusted(serve, tmp_path):
    file, context = certificate(tmp_path)
    other, _ = certificate(tmp_path, "other")
    where = url(serve(context), scheme="https")
    with EmbeddedMesh(profile=OwnService(url=where, ca=str(file))) as mesh:
        assert mesh.measure(ROOM, Load(2, 10)).p200 == 1
    with pytest.raises(MeshStartError, match=r"its certificate isn't trusted .*name its authority by ca"):
        EmbeddedMesh(profile=OwnService(url=where, ca=str(other)))
    with pytest.raises(FileError, match=r"name one by service\.ca"):
        EmbeddedMesh(profile=OwnService(url=where, ca=str(tmp_path / "missing.pem")))


def test_http2_without_tls():
    """An Envoy that speaks nothing else responds."""
    group = EnvoyGroup()
    try:
        reply = {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
        chain = {"filters": [connection_manager("web", reply, [], "HTTP2")]}
        address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
        web = bootstrap(group.folder, "web", [{"name": "web", "address": address, "filter_chains": [chain]}], [])
        where = f"http://127.0.0.1:{group.start({'web': web}, {'web': 1})['web'].port('web')}/"
        with EmbeddedMesh(profile=OwnService(url=where, protocol="http2")) as mesh:
            assert mesh.measure(ROOM, Load(2, 40)).p200 == 1
        with pytest.raises(MeshStartError, match=r"can't be reached|responds with"):
            EmbeddedMesh(profile=OwnService(url=where))
    finally:
        group.close()


def test_unary_calls_of_grpc():
    def respond(message, context):
        if message == b"full":
            context.abort(grpc.StatusCode.UNAVAILABLE, "too many")
        return message

    handlers = {"Respond": grpc.unary_unary_rpc_method_handler(respond)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", handlers),))
    where = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}/shop.Shop/"
    server.start()
    try:
        with EmbeddedMesh(profile=OwnService(url=f"{where}Respond", protocol="grpc", body="hi")) as mesh:
            assert mesh.measure(ROOM, Load(2, 40)).p200 == 1
            tight = mesh.measure(TrafficRules(http2_max_requests=1), Load(16, 160))
            assert tight.details["overflow"] > 10
        for body, path, said in (("full", "Respond", "503.*too many"), ("hi", "Else", "500.*Method not found")):
            with pytest.raises(MeshStartError, match=said):
                EmbeddedMesh(profile=OwnService(url=where + path, protocol="grpc", body=body))
    finally:
        server.stop(None)


def test_other_hosts_must_be_named_and_get_no_more_than_was_allowed(serve, monkeypatch):
    server = serve()
    here = url(server).replace("127.0.0.1", "localhost")
    service = OwnService(url=here)
    monkeypatch.setattr(ipaddress.IPv4Address, "is_loopback", False)
    monkeypatch.setattr(ipaddress.IPv6Address, "is_loopback", False)
    with pytest.raises(InvalidValueError, match="--allow-host localhost"):
        EmbeddedMesh(profile=service)
    host = AllowedHost("localhost", 200, CallLimits(50, 1000, max_p503=0.5))
    with EmbeddedMesh(profile=service, allowed_host=host) as mesh:
        with pytest.raises(InvalidValueError, match="an open loop of at most max_qps=200"):
            mesh.measure(ROOM, Load(2, 20))
        with pytest.raises(InvalidValueError, match="an open loop of at most max_qps=200"):
            mesh.measure(ROOM, Load(rate_per_s=300, calls=20))
        with pytest.raises(InvalidValueError, match="max_calls_per_step=50"):
            mesh.measure(ROOM, Load(rate_per_s=200, calls=51))
        assert mesh.measure(ROOM, Load(rate_per_s=200, calls=40)).p200 == 1
        host.calls.sent = 980
        with pytest.raises(InvalidValueError, match="max_calls=1000 in all, of which 980 are sent"):
            mesh.measure(ROOM, Load(rate_per_s=200, calls=21))
        host.calls.note(0.9)
        with pytest.raises(LimitError, match="90% of 503s"):
            mesh.measure(ROOM, Load(rate_per_s=200, calls=10))


def test_fortio_does_not_send_its_requests(serve):
    with pytest.raises(InvalidValueError, match="none with a service of your own"):
        EmbeddedMesh(profile=OwnService(url=url(serve())), fortio="http://127.0.0.1:9/")

"""An API server: DestinationRules with their versions, access reviews, and port-forwards into a pod."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import re
import struct
from collections.abc import Callable
from copy import deepcopy
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mesh.cluster.standins import managed
from mesh.cluster.standins.server import Standin

from meshgym.rules.policy import seconds

TOKEN = "a-bearer-token-that-nobody-may-see"
_RULES = "/apis/networking.istio.io/v1/namespaces/"
#: What the CRD knows of a spec; anything else is pruned.
_SPEC = {"host", "trafficPolicy", "subsets", "exportTo", "workloadSelector"}
_HANG_UP = b"\x88\x00"
_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class ApiServer(Standin):
    """Holds objects as a cluster does; ``changed`` is called after every change.

    Attributes:
        rules: DestinationRules by namespace and name.
        denied: pairs of verb and resource that this user may not.
        reviewed: those that were asked for.
        admin: URL of what listens on port 15000 of the pods; None where nothing does.
        admins: the same, by namespace.
        hangs_up: a port-forward is closed from here, as soon as the pod has responded.
        webhook_away: istiod's webhook doesn't respond.
        no_pod: there is no such pod to forward to.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.rules: dict[tuple[str, str], dict[str, Any]] = {}
        self.denied: set[tuple[str, str]] = set()
        self.reviewed: set[tuple[str, str]] = set()
        self.admin: str | None = None
        self.admins: dict[str, str] = {}
        self.hangs_up = False
        self.webhook_away = False
        self.no_pod = False
        self._manager = "unknown"
        self.watchers = [changed]
        self._version = 100
        super().__init__()

    def _tell(self) -> None:
        for watcher in self.watchers:
            watcher()

    def kubeconfig(self, folder: Path, **cluster: Any) -> Path:
        """A kubeconfig with the contexts ``one`` and ``other`` that both lead here."""
        path = folder / "kubeconfig"
        names = {"cluster": "here", "user": "me", "namespace": "elsewhere"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "one",
            "clusters": [{"name": "here", "cluster": {"server": self.url, **cluster}}],
            "users": [{"name": "me", "user": {"token": TOKEN}}],
            "contexts": [{"name": name, "context": names} for name in ("one", "other")],
        }
        path.write_text(str(config).replace("True", "true"))  # YAML reads Python's literals
        return path

    def put(self, namespace: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        """Somebody writes a rule."""
        metadata = {"namespace": namespace, "name": name, "uid": name, **metadata}
        return self._store(
            {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule"} | {"metadata": metadata, "spec": spec}
        )

    def apply(self, manager: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        """Somebody applies the whole rule, server-side; conflicts are an error."""
        name = {"namespace": "default", "name": "httpbin"}
        kind = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule"}
        now = self.rules.get(("default", "httpbin"))
        rule, managers = managed.apply(now, {**kind, "metadata": {**name, **metadata}, "spec": spec}, manager)
        rule["metadata"]["managedFields"] = managers
        return self._store(rule)

    def _store(self, rule: dict[str, Any]) -> dict[str, Any]:
        rule = deepcopy(rule)
        metadata = rule["metadata"]
        now = self.rules.get((metadata["namespace"], metadata["name"]))
        metadata["generation"] = now["metadata"]["generation"] if now else 1
        metadata["resourceVersion"] = now["metadata"]["resourceVersion"] if now else ""
        if rule == now:
            return rule  # nothing is written
        if now and rule["spec"] != now["spec"]:
            metadata["generation"] += 1
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        self.rules[metadata["namespace"], metadata["name"]] = rule
        self._tell()
        return rule

    def answer(self, method: str, path: str, query: str, body: Any, headers: Any) -> tuple[int, Any]:
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized")
        if path == "/version/":
            empty = dict.fromkeys(("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform"), "")
            return 200, {**empty, "gitVersion": "v1.34.1", "major": "1", "minor": "34"}
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            return 201, {**body, "status": {"allowed": self._allowed(**body["spec"]["resourceAttributes"])}}
        if path == "/apis/networking.istio.io/v1/destinationrules":
            return self._list("")
        if not path.startswith(_RULES):
            return 404, "404 page not found\n"
        namespace, kind, *name = path.removeprefix(_RULES).split("/")
        assert kind == "destinationrules"
        verb = {"GET": "get", "POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}[method]
        if (verb, kind) in self.denied:
            return _status(403, f'destinationrules is forbidden: User "me" cannot {verb} resource')
        if method == "GET" and not name:
            return self._list(namespace)
        self._manager = parse_qs(query).get("fieldManager", ["unknown"])[0]
        return getattr(self, f"_{verb}")(namespace, name[0] if name else body["metadata"]["name"], body, headers)

    def _list(self, namespace: str) -> tuple[int, Any]:
        if ("list", "destinationrules") in self.denied:
            return _status(403, 'destinationrules is forbidden: User "me" cannot list resource')
        found = [rule for (where, _), rule in self.rules.items() if namespace in ("", where)]
        items = [{key: value for key, value in rule.items() if key not in ("kind", "apiVersion")} for rule in found]
        return 200, {"kind": "DestinationRuleList", "apiVersion": "networking.istio.io/v1", "items": items}

    def _allowed(self, verb: str, resource: str, name: str = "", subresource: str = "", **_: str) -> bool:
        """As under a role for single objects, which cannot restrict what is created."""
        what = "/".join(filter(None, (resource, subresource)))
        self.reviewed.add((verb, what))
        return (verb, what) not in self.denied and bool(name) != (verb == "create" and not subresource)

    def _get(self, namespace: str, name: str, body: Any, headers: Any) -> tuple[int, Any]:
        rule = self.rules.get((namespace, name))
        return (200, rule) if rule else _missing(name)

    def _create(self, namespace: str, name: str, body: Any, headers: Any) -> tuple[int, Any]:
        if (namespace, name) in self.rules:
            return _status(409, f'destinationrules "{name}" already exists')
        return self._checked(201, body)

    def _patch(self, namespace: str, name: str, body: Any, headers: Any) -> tuple[int, Any]:
        assert headers["Content-Type"] == "application/merge-patch+json"
        rule = self.rules.get((namespace, name))
        if rule is None:
            return _missing(name)
        if self._outdated(body["metadata"].get("resourceVersion"), rule):
            return _conflict(name)
        return self._checked(200, _merge_patch(rule, body))

    def _update(self, namespace: str, name: str, body: Any, headers: Any) -> tuple[int, Any]:
        rule = self.rules.get((namespace, name))
        if rule is None:
            return _missing(name)
        assert body["metadata"]["resourceVersion"], "without a version, whatever is there would be overwritten"
        if self._outdated(body["metadata"]["resourceVersion"], rule):
            return _conflict(name)
        return self._checked(200, body)

    def _delete(self, namespace: str, name: str, body: Any, headers: Any) -> tuple[int, Any]:
        rule = self.rules.get((namespace, name))
        if rule is None:
            return _missing(name)
        if self._outdated(body["preconditions"]["resourceVersion"], rule):
            return _conflict(name)
        del self.rules[namespace, name]
        self._tell()
        return _status(200, "deleted")

    @staticmethod
    def _outdated(version: str | None, rule: dict[str, Any]) -> bool:
        return version is not None and version != rule["metadata"]["resourceVersion"]

    def _checked(self, status: int, rule: dict[str, Any]) -> tuple[int, Any]:
        """Prune, ask istiod's admission webhook, and note whose the fields are."""
        if self.webhook_away:
            said = 'failed calling webhook "validation.istio.io": connect: connection refused'
            return _status(500, f"Internal error occurred: {said}")
        rule = deepcopy(rule)
        rule["spec"] = {key: value for key, value in rule["spec"].items() if key in _SPEC}
        for section in ("connectionPool", None):
            policy = rule["spec"].get("trafficPolicy") or {}
            if (policy.get(section) if section else rule["spec"].get("trafficPolicy", True)) == {}:
                return _status(400, f'admission webhook "validation.istio.io" denied the request: {section} is empty')
        for text in _durations(rule["spec"]):
            if not float(1000 * seconds(text)).is_integer():
                return _status(400, f'admission webhook "validation.istio.io" denied the request: duration {text}')
        name = rule["metadata"]["namespace"], rule["metadata"]["name"]
        managers = managed.update(self.rules.get(name), rule, self._manager)
        rule["metadata"].pop("managedFields", None)
        if managers:
            rule["metadata"]["managedFields"] = managers
        policy = rule["spec"].get("trafficPolicy") or {}
        percent = (policy.get("outlierDetection") or {}).get("maxEjectionPercent", 0)
        if not 0 <= percent <= 100:
            return _status(
                400, 'admission webhook "validation.istio.io" denied the request: percentage not in range 0..100'
            )
        return status, self._store(rule)

    def upgrade(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """Port-forward over a websocket: channel 0 carries data, channel 1 errors; each begins with the port."""
        self.asked.append(("UPGRADE", path, None))
        if self.no_pod or ("get", "pods/portforward") in self.denied:
            handler.send_error(404 if self.no_pod else 403, "Not Found" if self.no_pod else "Forbidden")
            return
        if fault := self.fault("UPGRADE", path):
            self.ended.wait(fault.hang_s)
            handler.send_error(fault.status)
            return
        key = hashlib.sha1(handler.headers["Sec-WebSocket-Key"].encode() + _WEBSOCKET).digest()
        handler.send_response(101)
        for name, value in {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
        }.items():
            handler.send_header(name, value)
        handler.send_header("Sec-WebSocket-Accept", base64.b64encode(key).decode())
        handler.end_headers()
        port = struct.pack("<H", 15000)
        for channel in (b"\0", b"\1"):
            handler.wfile.write(_frame(channel + port))
        admin = self.admins.get(path.split("/namespaces/")[1].split("/")[0], self.admin)
        if admin is None:
            handler.wfile.write(_frame(b"\1" + b"connect: connection refused"))
            return
        with contextlib.suppress(ConnectionError):
            request = _read_frame(handler.rfile)[1:]  # a GET without a body is one frame
            with contextlib.closing(http.client.HTTPConnection(urlsplit(admin).netloc)) as answer:
                answer.request("GET", request.split()[1].decode())
                data = answer.getresponse().read()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            handler.wfile.write(_frame(b"\0" + head + data) + (_HANG_UP if self.hangs_up else b""))
            handler.rfile.read(1)  # until the other side hangs up


def _durations(value: Any) -> list[str]:
    """The durations in a spec."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _durations(inner)]
    return [value] if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?m?s", value) else []


def _frame(data: bytes) -> bytes:
    """An unmasked binary frame (RFC 6455)."""
    length = (
        bytes([len(data)])
        if len(data) < 126
        else b"\x7e" + struct.pack(">H", len(data))
        if len(data) < 65536
        else b"\x7f" + struct.pack(">Q", len(data))
    )
    return b"\x82" + length + data


def _read_frame(stream: Any) -> bytes:
    """The contents of a masked frame shorter than 64 KiB."""
    _, length = stream.read(2)
    length &= 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", stream.read(2))
    mask = stream.read(4)
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(stream.read(length)))


def _merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge_patch(merged.get(name), value)
    return merged


def _status(code: int, message: str, **more: Any) -> tuple[int, Any]:
    kind = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": code, "message": message}
    return code, {**kind, "status": "Success" if code < 400 else "Failure", **more}


def _missing(name: str) -> tuple[int, Any]:
    details = {"name": name, "group": "networking.istio.io", "kind": "destinationrules"}
    return _status(404, f'destinationrules.networking.istio.io "{name}" not found', reason="NotFound", details=details)


def _conflict(name: str) -> tuple[int, Any]:
    return _status(409, f'Operation cannot be fulfilled on destinationrules "{name}": the object has been modified')

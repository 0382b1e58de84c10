"""An HTTP server of stand-ins, with faults on demand."""

from __future__ import annotations

import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Fault:
    """What happens to the next ``times`` requests of ``method`` (or of any) whose path contains ``part``.

    Attributes:
        status, headers, body: answered instead of the right answer; that comes, but late, if the status is 0.
        reset: the connection is reset instead of an answer.
        hang_s: seconds before anything else happens.
        late: the request is carried out before it goes wrong: only the answer is lost.
    """

    method: str
    part: str
    status: int = 500
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False
    hang_s: float = 0
    late: bool = False
    times: int = 1


class Standin:
    """Answers ``answer(method, path, query, body, headers) -> (status, body)`` on a free port of 127.0.0.1.

    Attributes:
        faults: what goes wrong; a fault that has happened often enough is gone.
        asked: every request, as ``(method, path, body)``.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.ended = threading.Event()
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=[0.005], daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, path: str, query: str, body: Any, headers: Any) -> tuple[int, Any]:
        raise NotImplementedError

    def upgrade(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """A request to go on with a websocket."""
        handler.send_error(501)

    def fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method in ("", method) and fault.part in path:
                fault.times -= 1
                if fault.times == 0:
                    self.faults.remove(fault)
                return fault
        return None

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, standin: Standin) -> None:
        self.standin = standin
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a response in two parts takes 40 ms
    server: _Server

    def _handle(self) -> None:
        standin, parts = self.server.standin, urlsplit(self.path)
        if self.headers.get("Upgrade") == "websocket":
            self.close_connection = True
            standin.upgrade(self, parts.path)
            return
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = (self.command, parts.path, parts.query, json.loads(raw) if raw else None, self.headers)
        standin.asked.append((self.command, parts.path, asked[3]))
        fault = standin.fault(self.command, parts.path)
        if fault is None:
            self._send(*standin.answer(*asked), {})
            return
        standin.ended.wait(fault.hang_s)
        if fault.status == 0:
            self._send(*standin.answer(*asked), {})
            return
        if fault.late:
            standin.answer(*asked)
        if fault.reset:
            self._reset()
        else:
            self._send(fault.status, fault.body, fault.headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 (the library's names)

    def _send(self, status: int, body: Any, headers: dict[str, str]) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/plain" if isinstance(body, str) else "application/json"
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):
            self.close_connection = True  # the client gave up waiting, or we did

    def log_message(self, *_: object) -> None: ...

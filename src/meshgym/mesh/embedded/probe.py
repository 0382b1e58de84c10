"""Single requests to each replica of a user's own service: does it respond as it should, has it recovered?"""

from __future__ import annotations

import http.client
import time
from http import HTTPStatus

from meshgym.errors import LoadError, MeshStartError, clean
from meshgym.mesh.embedded.backend import Backend
from meshgym.mesh.embedded.sidecar import CLUSTER_HEADER, FAILURE_HEADER, FLAGS_HEADER

#: Seconds that a replica may take to respond to a probe, and between two rounds of probes.
_TIMEOUT_S, _PAUSE_S = 5.0, 0.1


class Probe:
    """Asks each replica, through the sidecar but without rules.

    Args:
        backend: the service.
        address: host and port of the sidecar.
        wait_s: seconds to wait before a run until all replicas respond well.
    """

    def __init__(self, backend: Backend, address: tuple[str, int], wait_s: float) -> None:
        self._backend, self._wait_s = backend, wait_s
        self._connection = http.client.HTTPConnection(*address, timeout=_TIMEOUT_S)

    def check(self) -> None:
        """Ask each replica once.

        Raises:
            MeshStartError: one doesn't respond as it should.
        """
        if fault := self._fault():
            raise MeshStartError(f"{fault}. Mend the service, or its section [service]")

    def wait(self) -> None:
        """Ask each replica until all respond as they should.

        Raises:
            LoadError: one still doesn't.
        """
        deadline = time.monotonic() + self._wait_s
        while fault := self._fault():
            if time.monotonic() > deadline:
                raise LoadError(f"{fault}, and the service hasn't recovered in {self._wait_s:g} s (probe_s)")
            time.sleep(_PAUSE_S)

    def _fault(self) -> str:
        """Return what is wrong with the first replica that doesn't respond well; empty if all do."""
        request = self._backend.request
        for url, cluster in self._backend.probes.items():
            headers = {**request.headers, "host": request.host, CLUSTER_HEADER: cluster["name"]}
            try:
                self._connection.request(request.method, request.target, request.body or None, headers)
                response = self._connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                return f"{url} doesn't respond within {_TIMEOUT_S:g} s ({clean(error)})"
            if response.status in request.status:
                continue
            if "UF" in (response.headers.get(FLAGS_HEADER) or ""):
                return f"{url} can't be reached: {_reason(response.headers.get(FAILURE_HEADER) or '')}"
            named = HTTPStatus(response.status).phrase if response.status in _STATUSES else "unknown"
            wanted = ", ".join(map(str, request.status))
            told = response.headers.get("grpc-message") or ""
            said = f", {clean(told)}" if told else ""
            return f"{url} responds with {response.status} ({named}{said}), and a success is {wanted}"
        return ""

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


_STATUSES = frozenset(HTTPStatus)


def _reason(said: str) -> str:
    """Return why Envoy has no connection, in few words."""
    reason = clean(said)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"its certificate isn't trusted ({reason}); name its authority by ca"
    if "TLS_error" in said:
        return f"it doesn't speak TLS as expected ({reason})"
    return "the connection is refused, or breaks off" + (f" ({reason})" if reason.strip("-") else "")

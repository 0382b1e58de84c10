"""The client's sidecar in a cluster: its admin interface shows which rules are really in force."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from meshgym.errors import ClusterError, RulesRefusedError
from meshgym.mesh.cluster.api import Cluster
from meshgym.mesh.urls import check_url
from meshgym.rules.envoy_cluster import deviations

#: Envoy's admin port in a sidecar; it listens on the pod's loopback interface only.
_ADMIN_PORT = 15000
_APPLY_S, _POLL_S, _RESPONSE_S = 30.0, 0.1, 10.0
_POD = re.compile(r"([a-z0-9][a-z0-9-]*)/([a-z0-9][a-z0-9.-]*)")


class Sidecar:
    """The Envoy beside the load generator, which applies the client's side of the rules.

    Args:
        where: the admin interface's URL (of a ``kubectl port-forward``), or ``NAMESPACE/POD``, reached through the API
            server.
        cluster: its API server.

    Raises:
        InvalidValueError: neither of these.
    """

    def __init__(self, where: str, cluster: Cluster) -> None:
        self.where, self._cluster = where, cluster
        #: Namespace and name, unless it is reached by a URL.
        self.pod: tuple[str, str] | None = None
        if pod := _POD.fullmatch(where):
            self.pod = pod[1], pod[2]
        else:
            check_url("sidecar (if not NAMESPACE/POD)", where, schemes=["http"])

    def get(self, path: str) -> Any:
        """Return the JSON that ``GET path`` gives.

        Raises:
            ClusterError: nothing responds, or not Envoy.
        """
        with self._connection() as connection:
            connection.request("GET", path)
            reply = connection.getresponse()
            text = reply.read().decode(errors="replace")
        try:
            if reply.status == http.client.OK:
                return json.loads(text)
        except ValueError:
            pass
        raise ClusterError(f"{self.where} responds with HTTP {reply.status}, {text[:100]!r}: not Envoy's admin port")

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        if self.pod is not None:
            with self._cluster.connection(*self.pod, _ADMIN_PORT) as connection:
                yield connection
            return
        connection = http.client.HTTPConnection(urlsplit(self.where).netloc, timeout=_RESPONSE_S)
        try:
            yield connection
        except (OSError, http.client.HTTPException) as error:
            remedy = "does `kubectl port-forward` still run?"
            raise ClusterError(
                f"the sidecar's admin interface {self.where} doesn't respond: {error}; {remedy}"
            ) from error
        finally:
            connection.close()

    def version(self) -> str:
        """Return Envoy's version, such as ``1.40.0``."""
        return str(self.get("/server_info")["version"]).split("/")[1]

    def outbound(self, host: str) -> list[dict[str, Any]]:
        """Return the active clusters through which this sidecar reaches the service ``host``.

        Raises:
            ClusterError: there are none.
        """
        whole = re.escape(host if "." in host else f"{host}.{self._cluster.namespace}.svc.")
        name = rf"^outbound\|\d+\|[^|]*\|{whole}{'' if '.' in host else '.*'}$"
        dump = self.get("/config_dump?resource=dynamic_active_clusters")
        clusters = [one["cluster"] for one in dump.get("configs", []) if re.match(name, one["cluster"]["name"])]
        if not clusters:
            raise ClusterError(f"the sidecar {self.where} knows no service {host}; is it the load generator's sidecar?")
        return clusters

    def await_policy(self, host: str, policy: dict[str, Any]) -> None:
        """Wait until the sidecar has what istiod makes of ``policy`` for ``host``.

        Raises:
            RulesRefusedError: it doesn't get it in time; the message says where it differs.
            ClusterError: no response.
        """
        deadline = time.monotonic() + _APPLY_S
        while differing := [line for one in self.outbound(host) for line in deviations(one, policy)]:
            if time.monotonic() > deadline:
                raise RulesRefusedError(
                    f"the sidecar {self.where} hasn't taken the rules after {_APPLY_S:g} s: {'; '.join(differing)}"
                )
            time.sleep(_POLL_S)

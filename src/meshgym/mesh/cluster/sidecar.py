"""The client's sidecar in a cluster: its admin interface shows which rules are really in force."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from meshgym.errors import AwayError, ClusterError, DisturbedError, InvalidValueError, RulesRefusedError, clean
from meshgym.mesh.cluster import answers
from meshgym.mesh.cluster.answers import ActiveCluster, Replicas, ServerInfo
from meshgym.mesh.cluster.api import NAMED, Cluster
from meshgym.mesh.shapes import Object, read_json
from meshgym.rules.envoy_cluster import deviations
from meshgym.rules.policy import find, seconds
from meshgym.urls import check_url

#: What can be accepted besides rules: requests of others through the same sidecar.
TRAFFIC = "traffic"
#: Envoy's admin port in a sidecar; it listens on the pod's loopback interface only.
_ADMIN_PORT = 15000
_APPLY_S, _POLL_S, _RESPONSE_S = 30.0, 0.1, 10.0
_OUTBOUND = re.compile(r"outbound\|(\d+)\|([^|]*)\|(.+)")


@dataclass(frozen=True)
class Snapshot:
    """A sidecar and its clusters for one host, at one time.

    Attributes:
        info: the sidecar's Envoy.
        clusters: those of the host.
    """

    info: ServerInfo
    clusters: list[ActiveCluster]

    def check_since(self, earlier: Snapshot) -> None:
        """Check that the same Envoy has had the same clusters all along since ``earlier``.

        Raises:
            DisturbedError: it hasn't.
        """
        if self.info.node.id != earlier.info.node.id or _uptime(self.info) < _uptime(earlier.info):
            raise DisturbedError("the sidecar was started again, or replaced, while the load was sent")
        if self.clusters != earlier.clusters:
            raise DisturbedError("the sidecar's rules changed while the load was sent")


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
        if pod := NAMED.fullmatch(where):
            self.pod = pod[1], pod[2]
        else:
            check_url("sidecar (if not NAMESPACE/POD)", where, schemes=["http"])

    def get(self, path: str) -> Any:
        """Return the JSON that ``GET path`` gives.

        Raises:
            AwayError: nothing responds.
            ClusterError: something else than Envoy does.
        """
        with self._connection() as connection:
            connection.request("GET", path)
            reply = connection.getresponse()
            text = reply.read()
        if reply.status == http.client.OK:
            return read_json(text, f"the sidecar {self.where}")
        said = f"{self.where} responds with HTTP {reply.status}, {clean(text.decode(errors='replace'), 100)!r}"
        if reply.status >= http.client.INTERNAL_SERVER_ERROR:
            raise AwayError(said)
        raise ClusterError(f"{said}: not Envoy's admin port")

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
            raise AwayError(
                f"the sidecar's admin interface {self.where} doesn't respond: {clean(error)}; {remedy}"
            ) from error
        finally:
            connection.close()

    def info(self) -> ServerInfo:
        """Return what its Envoy says of itself."""
        return answers.server_info(self.get("/server_info"), f"the sidecar {self.where}")

    def look(self, host: str, port: int) -> Snapshot:
        """Return its state and its active clusters for a port of the service ``host``, those of subsets included.

        Raises:
            InvalidValueError: it has none.
        """
        info = self.info()
        wanted = urlencode({"name_regex": rf"outbound\|.*\|{re.escape(host.lower().rstrip('.'))}(\..*)?"})
        dump = self.get(f"/config_dump?resource=dynamic_active_clusters&{wanted}")
        entries = answers.active_clusters(dump, f"the sidecar {self.where}")
        clusters = [entry for entry in entries if self._is_for(host, entry.cluster["name"])]
        if not clusters:
            remedy = f"Is {self.where} the load generator's sidecar, and {host} the service's name?"
            raise InvalidValueError("host", host, "a service that the sidecar knows", remedy)
        chosen = [entry for entry in clusters if _port_of(entry.cluster) == port]
        if not chosen:
            ports = ", ".join(map(str, sorted({_port_of(entry.cluster) for entry in clusters})))
            raise InvalidValueError("port of the target's URL", port, f"a port of {host}: {ports}")
        return Snapshot(info, chosen)

    def replicas(self, snapshot: Snapshot) -> Replicas:
        """Return the replicas of a snapshot's clusters as they are now."""
        names = [one.cluster["name"] for one in snapshot.clusters]
        return answers.replicas(self.get("/clusters?format=json"), names, f"the sidecar {self.where}")

    def check_quiet(self, snapshot: Snapshot, seconds: float) -> None:
        """Check that nobody else sends requests to the service through this sidecar.

        Args:
            snapshot: its clusters for the service.
            seconds: how long to look.

        Raises:
            InvalidValueError: somebody does.
        """
        before = self.replicas(snapshot).requests
        time.sleep(seconds)
        if (more := self.replicas(snapshot).requests - before) > 0:
            raise InvalidValueError(
                f"requests through {self.where} in {seconds:g} s, besides ours",
                more,
                "none",
                f"Measure through a load generator of its own, or accept them: --accept {TRAFFIC}.",
            )

    def check_replicas(self, host: str, snapshot: Snapshot) -> None:
        """Check that there is a replica to call; without one, every call is a 503 that says nothing of the rules.

        Raises:
            InvalidValueError: there is none.
        """
        if not self.replicas(snapshot).ready:
            remedy = f"See which pods are ready: kubectl get endpointslices -A -l kubernetes.io/service-name={host}"
            raise InvalidValueError("host", host, "a service with a ready replica", remedy.partition(".svc")[0])

    def _is_for(self, host: str, name: str) -> bool:
        """Return whether a cluster is for ``host``, which may leave out its namespace and the rest."""
        if not (parts := _OUTBOUND.fullmatch(name)):
            return False
        host = host.lower().rstrip(".")
        return parts[3] == host or ("." not in host and parts[3].startswith(f"{host}.{self._cluster.namespace}.svc."))

    def await_policy(self, host: str, port: int, policy: Object) -> Snapshot:
        """Wait until the sidecar has what istiod makes of ``policy`` for the host's port; return its state then.

        Raises:
            RulesRefusedError: it doesn't get it in time; the message says where it differs, and which DestinationRule
                is in force.
            AwayError: no response.
        """
        deadline = time.monotonic() + _APPLY_S
        while True:
            snapshot = self.look(host, port)
            differing = [line for one in snapshot.clusters for line in deviations(one.cluster, policy)]
            if not differing:
                return snapshot
            if time.monotonic() > deadline:
                revision = _revision(snapshot.info)
                names = ", ".join(sorted({name for one in snapshot.clusters if (name := rule_of(one.cluster))}))
                raise RulesRefusedError(
                    f"the sidecar {self.where} hasn't taken the rules after {_APPLY_S:g} s: {'; '.join(differing)}"
                    + (f"; its rules are those of {names}" if names else "")
                    + (f"; does istiod of its revision {revision} watch this namespace?" if revision else "")
                )
            time.sleep(_POLL_S)


def rule_of(cluster: Object) -> str:
    """Return ``NAMESPACE/NAME`` of the DestinationRule that a cluster was made of; empty if istiod doesn't say."""
    path = find(cluster, "metadata.filter_metadata.istio.config")
    parts = path.split("/") if isinstance(path, str) else []
    return clean(f"{parts[-3]}/{parts[-1]}", 200) if len(parts) > 3 else ""


def _revision(info: ServerInfo) -> str:
    """Return the revision of Istio that a sidecar belongs to; empty if it doesn't say."""
    labels = info.node.metadata.get("LABELS")
    found = labels.get("istio.io/rev") if isinstance(labels, dict) else None
    return clean(found, 100) if isinstance(found, str) else ""


def _port_of(cluster: Object) -> int:
    parts = _OUTBOUND.fullmatch(cluster["name"])
    return int(parts[1]) if parts else 0


def _uptime(info: ServerInfo) -> float:
    return seconds(info.uptime_current_epoch, "uptime_current_epoch")

"""A cluster of stand-ins: an API server, istiod, the load generator's sidecar, and Fortio."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from copy import deepcopy
from itertools import repeat
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from mesh.cluster.standins.fortio import Fortio
from mesh.cluster.standins.kubernetes import ApiServer
from mesh.cluster.standins.server import Standin

from meshgym.rules.envoy_cluster import envoy_cluster
from meshgym.rules.policy import traffic_rules
from meshgym.testing import FakeMesh
from meshgym.types import Load, Response

#: As it is found: with more than the seven rules, labels, and an annotation.
RULE: dict[str, Any] = {
    "host": "httpbin",
    "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
    "trafficPolicy": {
        "loadBalancer": {"simple": "RANDOM"},
        "connectionPool": {"tcp": {"maxConnections": 77}, "http": {"http2MaxRequests": 99}},
    },
}


class Admin(Standin):
    """The sidecar's admin interface; ``clusters()`` gives what it holds.

    Attributes:
        started: when its Envoy was.
        node: name of the proxy.
        istio: its version.
        labels: of its pod.
        replicas: health of each replica of the service.
        requests: that each of them got by now, each time somebody looks.
    """

    def __init__(self, clusters: Any) -> None:
        self._clusters = clusters
        self.labels: dict[str, str] = {}
        self.replicas = ["HEALTHY"]
        self.requests: Iterator[int] = repeat(0)
        self.started = time.monotonic()
        self.node = "sidecar~10.0.0.7~fortio-1.default~default.svc.cluster.local"
        self.istio = "1.31.0"
        super().__init__()

    def answer(self, method: str, path: str, query: str, body: Any, headers: Any) -> tuple[int, Any]:
        if path == "/server_info":
            return 200, {
                "version": "abcdef/1.40.0/Clean/RELEASE/BoringSSL",
                "state": "LIVE",
                "uptime_current_epoch": f"{time.monotonic() - self.started:.0f}s",
                "command_line_options": {"concurrency": 2},
                "node": {"id": self.node, "metadata": {"ISTIO_VERSION": self.istio, "LABELS": self.labels}},
            }
        if (path, query) == ("/clusters", "format=json"):
            counter = {"name": "rq_total", "type": "COUNTER", "value": str(next(self.requests))}
            hosts = [{"health_status": {"eds_health_status": health}, "stats": [counter]} for health in self.replicas]
            return 200, {
                "cluster_statuses": [{"name": one["name"], "host_statuses": hosts} for one in self._clusters()]
            }
        asked = dict(parse_qsl(query))
        assert (path, asked.pop("resource")) == ("/config_dump", "dynamic_active_clusters")
        wanted = re.compile(asked["name_regex"])
        found = [one for one in self._clusters() if wanted.fullmatch(one["name"])]
        return 200, {"configs": [{"version_info": "1", "cluster": one} for one in found]}


class World:
    """A service ``httpbin`` in a namespace; Fortio's load meets the rules its sidecar holds.

    Args:
        folder: for a kubeconfig.
        rule: the service's DestinationRule.
        namespace: where it is.
        api: the API server of a world that this one shares its cluster with.

    Attributes:
        lag_s: seconds from a change of the rule until the sidecar holds it.
        deaf: the sidecar takes no more rules.
        winner: another DestinationRule whose policy is in force: its name and ``trafficPolicy``.
        http2: the port is called so.
        mesh_default: ``trafficPolicy`` that holds for what the rule leaves out.
        sick: so many of the next loads get nothing but 503s.
        accepting: whether the options accept what else is in force.
        sent: every load, with the ``trafficPolicy`` that was in force.
    """

    def __init__(
        self,
        folder: Path,
        rule: dict[str, Any] | None = RULE,
        namespace: str = "default",
        api: ApiServer | None = None,
    ) -> None:
        self.namespace = namespace
        self.lag_s = 0.05
        self.deaf = False
        self.winner: tuple[str, dict[str, Any]] | None = None
        self.http2 = False
        self.mesh_default: dict[str, Any] = {}
        self.sick = 0
        self.accepting = True
        self.sent: list[tuple[dict[str, Any], Load]] = []
        self._history: list[tuple[float, dict[str, Any]]] = [(0.0, {})]
        self._lock = threading.Lock()
        self.api = api or ApiServer()
        self.api.watchers.append(self._changed)
        self.admin = Admin(self.clusters)
        self.fortio = Fortio(self._serve)
        self.api.admin = self.admin.url
        if rule is not None:
            self.api.put(namespace, "httpbin", rule, labels={"team": "shop"}, annotations={"note": "keep"})
        self.found = deepcopy(self.rule)
        self.kubeconfig = self.api.kubeconfig(folder)

    @property
    def rule(self) -> dict[str, Any] | None:
        """The DestinationRule as it is now."""
        return self.api.rules.get((self.namespace, "httpbin"))

    @property
    def restored(self) -> bool:
        """Whether the rule is as it was found, but for versions and times."""
        now, found = deepcopy(self.rule), deepcopy(self.found)
        for one in (now, found):
            if one:
                del one["metadata"]["resourceVersion"], one["metadata"]["generation"]
                for manager in one["metadata"].get("managedFields", []):
                    del manager["time"]
        return now == found

    def arguments(self, **more: Any) -> dict[str, Any]:
        """Of an IstioMesh in this world."""
        return {
            "namespace": self.namespace,
            "destination_rule": "httpbin",
            "fortio_url": f"{self.fortio.url}/fortio/",
            "target_url": "http://httpbin:8000/get",
            "sidecar": self.admin.url,
            "wait_s": 20,
            **more,
        }

    def options(self) -> list[str]:
        """The same for the command line."""
        given = self.arguments()
        options = {"--fortio": "fortio_url", "--target": "target_url", "--sidecar": "sidecar"}
        accept = [f"--accept={name}" for name in ("http2_max_requests", "load_balancer")]
        pairs = [f"{key}={given[name]}" for key, name in options.items()]
        return [f"--destination-rule={self.namespace}/httpbin", *pairs, *(accept if self.accepting else ())]

    def _changed(self) -> None:
        rule = self.rule
        policy = (rule["spec"].get("trafficPolicy") or {}) if rule else {}
        with self._lock:
            self._history.append((time.monotonic() + self.lag_s, deepcopy(policy)))

    def _in_force(self) -> dict[str, Any]:
        with self._lock:
            if self.deaf:
                return self._history[0][1]
            return [policy for since, policy in self._history if since <= time.monotonic()][-1]

    def clusters(self) -> list[dict[str, Any]]:
        """As Envoy prints them: durations with three or nine digits, besides clusters of other services."""
        name, policy = self.winner or ("httpbin", {**self.mesh_default, **self._in_force()})
        cluster = f"outbound|8000||httpbin.{self.namespace}.svc.cluster.local"
        mine = envoy_cluster(policy, cluster, protocol="http2" if self.http2 else "http1")
        if self.rule or self.winner:
            path = f"/apis/networking.istio.io/v1/namespaces/{self.namespace}/destination-rule/{name}"
            mine["metadata"] = {"filter_metadata": {"istio": {"config": path}}}
        for detection in (mine, mine.get("outlier_detection", {})):
            for name, value in detection.items():
                if isinstance(value, str) and value.endswith("s") and value[0].isdigit() and "." in value:
                    detection[name] = f"{float(value[:-1]):.3f}s"
        others = [
            "outbound|8000||httpbin.other.svc.cluster.local",
            "outbound|80||reviews.default.svc.cluster.local",
            "xds",
        ]
        return [mine, *({"name": name, "circuit_breakers": {}} for name in others)]

    def _serve(self, load: Load) -> Response:
        policy = self._in_force()
        self.sent.append((policy, load))
        response = FakeMesh().measure(traffic_rules(policy), load)
        if self.sick:
            self.sick -= 1
            return response._replace(p200=0.0, p503=1.0)
        return response

    def close(self) -> None:
        for standin in (self.api, self.admin, self.fortio):
            standin.close()

"""A real cluster as a mesh: rules through the Kubernetes API, load through Fortio, both checked.

A run changes the DestinationRule, waits until the load generator's sidecar holds the new rules, has Fortio send
the load and reads its result. The rule is put back as it was found when the mesh is closed, at the end of the
program, and after SIGTERM; a journal on disk remembers it where even that could not be done.
"""

from __future__ import annotations

import atexit
import json
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from meshgym.errors import DryRun, InvalidValueError, MeshError
from meshgym.mesh.base import Mesh
from meshgym.mesh.cluster.api import GROUP, PLURAL, VERSION, Cluster
from meshgym.mesh.cluster.fortio import Fortio
from meshgym.mesh.cluster.journal import Journal, journal_folder
from meshgym.mesh.cluster.loan import borrow, merge
from meshgym.mesh.cluster.sidecar import Sidecar
from meshgym.mesh.destination_rule import duration, seconds, traffic_policy
from meshgym.mesh.envoy_cluster import CONNECT_TIMEOUT
from meshgym.mesh.limits import CallLimits
from meshgym.types import Load, Response, TrafficRules

#: Envoy holds back changes of health for a second after the last one, building a cluster included.
_SETTLE_S = 1.0
#: Exit status of a program ended by SIGTERM, as shells report it.
_TERMINATED = 128 + signal.SIGTERM


class IstioMesh(Mesh):
    """A service in a cluster under one DestinationRule; nothing else of the cluster is changed.

    Rules are merged into the one DestinationRule that is named; what it says beside the seven rules stays. A rule
    that limits single ports or subsets is refused, for these limits would override the measured ones.

    Args:
        namespace, destination_rule: the DestinationRule; both must be given, there is no default.
        fortio_url: the Fortio server's user interface or REST API, e.g. ``http://localhost:8080/fortio/``.
        target_url: what Fortio calls, as seen from its pod, e.g. ``http://httpbin:8000/get``.
        sidecar: the admin interface of Fortio's sidecar, as a URL (``http://localhost:15000``, of a
            ``kubectl port-forward``) or as ``NAMESPACE/POD``, reached through the API server.
        context: of the kubeconfig; None for its current one, or for a pod's own account.
        host: the service, to make the rule where there is none; it is deleted again at the end. Without a host a
            missing rule is an error.
        max_calls_per_step: refuse a load of more calls.
        max_calls: refuse to send more calls than this in the mesh's life.
        max_qps: have Fortio send no more calls a second than this; None for a closed loop at full speed.
        dry_run: change and send nothing; :meth:`measure` raises ``DryRun`` with what it would have sent.
        journal: file that remembers the rule as it was found; the default lies in ``$XDG_STATE_HOME/meshgym``, or
            ``~/.local/state/meshgym``.

    Raises:
        InvalidValueError: an argument that will not do, or a rule that cannot be measured.
        RestoreError: an earlier run's change was not put back, or another process is measuring this rule.
        FolderError: no place for the journal.
        ClusterError: the API server does not answer, or a right is missing.
        MissingDependencyError: a package of the extra ``cluster``.
    """

    def __init__(
        self,
        *,
        namespace: str,
        destination_rule: str,
        fortio_url: str,
        target_url: str,
        sidecar: str,
        context: str | None = None,
        host: str | None = None,
        max_calls_per_step: int = 10_000,
        max_calls: int = 1_000_000,
        max_qps: float | None = None,
        dry_run: bool = False,
        journal: str | Path | None = None,
    ) -> None:
        for name, value in {"namespace": namespace, "destination_rule": destination_rule}.items():
            if not value:
                raise InvalidValueError(name, value, "a name; nothing is changed in a cluster without it")
        self._fortio = Fortio(fortio_url, target_url, max_qps)
        self._cluster = Cluster(namespace, destination_rule, context)
        self._sidecar = Sidecar(sidecar, self._cluster)
        self._limits, self._dry_run = CallLimits(max_calls_per_step, max_calls), dry_run
        self._runs = 0
        self._closed = False
        with ExitStack() as opening:  # lets go what was taken if a later step fails
            file = opening.enter_context(Journal(Path(journal or _journal_path(self._cluster))))
            self._rule = borrow(self._cluster, file, host)
            opening.enter_context(_OnSigterm())
            atexit.register(self.close)
            self._open = opening.pop_all()

    @property
    def host(self) -> str:
        """The service, as the DestinationRule names it."""
        return self._rule.host

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """See :meth:`Mesh.measure`; each run finds new connections and no ejections at the client's side.

        Raises:
            InvalidValueError: the load would exceed a limit.
            DryRun: what would be sent, in a dry run.
            RuleChangedError: somebody else changed the rule.
            FolderError: the journal cannot be written; nothing was changed.
        """
        if self._closed:
            raise MeshError("the mesh is closed; make a new one")
        self._limits.check(load.calls)
        started = time.perf_counter()
        policy = self._fresh(traffic_policy(rules))
        if self._dry_run:
            raise DryRun(self._would_send(policy, load))
        whole = self._rule.change(policy)
        self._runs += 1  # not before: a change that failed must not bring back the configuration of the last run
        self._sidecar.await_policy(self.host, whole)
        time.sleep(_SETTLE_S)
        overhead_s = time.perf_counter() - started
        self._limits.sent += load.calls
        response = self._fortio.run(load)
        assert isinstance(response.details, dict)
        response.details["overhead_s"] = overhead_s
        return response

    def _fresh(self, policy: dict[str, Any]) -> dict[str, Any]:
        """``policy`` with a time to connect that differs by milliseconds from those of the runs before.

        Envoy then rebuilds the cluster even if the rules are those of the run before, and with it go ejections,
        open connections and counters; and the sidecar's configuration shows which run it is of.
        """
        found = self._rule.found["spec"].get("trafficPolicy", {}) if self._rule.found else {}
        before = found.get("connectionPool", {}).get("tcp", {}).get("connectTimeout", CONNECT_TIMEOUT)
        timeout = duration(seconds(before) + (1 + self._runs % 10) / 1000)
        return merge(policy, {"connectionPool": {"tcp": {"connectTimeout": timeout}}})

    def _would_send(self, policy: dict[str, Any], load: Load) -> str:
        verb = "PATCH (merge)" if self._rule.found else "POST (deleted at the end)"
        path = f"{self._cluster.server}/apis/{GROUP}/{VERSION}/namespaces/{self._cluster.namespace}/{PLURAL}"
        spec = {"trafficPolicy": policy} if self._rule.found else {"host": self._rule.host, "trafficPolicy": policy}
        return (
            f"A dry run: nothing was sent. A run under these rules would send\n"
            f"{verb} {path}/{self._cluster.name}\n{json.dumps({'spec': spec}, indent=2)}\n"
            f"POST {self._fortio.run_url}\n{json.dumps(self._fortio.request(load), indent=2)}"
        )

    def about(self) -> dict[str, Any]:
        """See :meth:`Mesh.about`."""
        return {
            "mesh": "cluster",
            "namespace": self._cluster.namespace,
            "destination_rule": self._cluster.name,
            "host": self.host,
            "target_url": self._fortio.target_url,
            "envoy": self._sidecar.version(),
        }

    def close(self) -> None:
        """Put the rule back as it was found; tried again by a later call where it fails.

        Raises:
            RuleChangedError: somebody else changed the rule meanwhile; it stays as it is now.
            RestoreError: the rule cannot be put back now; ``meshgym doctor --restore`` does so later.
        """
        self._closed = True
        atexit.unregister(self.close)
        self._rule.give_back()
        self._open.close()


class _OnSigterm:
    """As long as it is entered, SIGTERM ends the program as :func:`sys.exit` does, so that all is put back first.

    Only where nothing else was to happen on SIGTERM, and in the main thread, which alone may say so.
    """

    def __enter__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        self._set = main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self._set:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))

    def __exit__(self, *_: object) -> None:
        if self._set and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _journal_path(cluster: Cluster) -> Path:
    """One file for each rule of each cluster."""
    server = quote(cluster.server.partition("://")[2], safe="")
    return journal_folder() / f"{server}.{cluster.namespace}.{cluster.name}.json"

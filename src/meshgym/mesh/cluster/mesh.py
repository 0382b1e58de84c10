"""A real cluster as a mesh: rules through the Kubernetes API, load through Fortio, both checked.

A run changes the DestinationRule, waits until the load generator's sidecar has the new rules, and has Fortio send the
load. The DestinationRule is put back as it was found when the mesh is closed, at the end of the program, and after
SIGTERM. If even that isn't possible, a journal on disk remembers it.
"""

from __future__ import annotations

import atexit
import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from meshgym.errors import DryRun, InvalidValueError, MeshError, UnknownNameError
from meshgym.fields import RULES
from meshgym.mesh.base import Mesh
from meshgym.mesh.cluster.api import GROUP, PLURAL, VERSION, Cluster
from meshgym.mesh.cluster.fortio import Fortio
from meshgym.mesh.cluster.journal import Journal, journal_folder
from meshgym.mesh.cluster.loan import borrow
from meshgym.mesh.cluster.sidecar import Sidecar
from meshgym.mesh.limits import CallLimits
from meshgym.rules.envoy_cluster import CONNECT_TIMEOUT
from meshgym.rules.policy import duration, given_rules, merge, seconds, traffic_policy
from meshgym.scenarios import Scenario
from meshgym.types import Load, Response, TrafficRules

#: Envoy holds back changes of health for a second after the last one, building a cluster included.
_SETTLE_S = 1.0
#: Exit status of a program ended by SIGTERM, as shells report it.
_TERMINATED = 128 + signal.SIGTERM


class IstioMesh(Mesh):
    """A service in a cluster under one DestinationRule; nothing else in the cluster is changed.

    Rules are merged into the DestinationRule that you name; whatever else it says stays. One that limits single ports
    or subsets is an error, because these limits would override the measured ones.

    Args:
        namespace, destination_rule: the DestinationRule; both must be given, there is no default.
        fortio_url: the Fortio server's user interface or REST API, such as ``http://localhost:8080/fortio/``.
        target_url: what Fortio calls, as seen from its pod, such as ``http://httpbin:8000/get``.
        sidecar: the admin interface of Fortio's sidecar, as a URL (``http://localhost:15000``, of a
            ``kubectl port-forward``) or as ``NAMESPACE/POD``, reached through the API server.
        kube_context: context of the kubeconfig; None for its current one, or for a pod's own account.
        host: the service, to make a DestinationRule if there is none; it is deleted at the end. Without a host, a
            missing DestinationRule is an error.
        max_calls_per_step: most calls of one load.
        max_calls: most calls in the mesh's life.
        max_qps: most calls per second; None for a closed loop at full speed.
        dry_run: change and send nothing; :meth:`measure` raises ``DryRun`` with what it would have sent.
        scenario: what varies. Other rules that are in force and decide outcomes are refused, unless the scenario's base
            has them too, or they are accepted.
        accept: names of such rules to measure under nevertheless.
        journal: file that remembers the DestinationRule as it was found; by default in ``$XDG_STATE_HOME/meshgym`` or
            ``~/.local/state/meshgym``.

    Raises:
        InvalidValueError: an argument that isn't allowed, or a DestinationRule that can't be measured.
        RestoreError: an earlier change was not put back, or another process is measuring this DestinationRule.
        FolderError: no place for the journal.
        ClusterError: the API server doesn't respond, or a right is missing.
        MissingDependencyError: a package of the extra ``cluster`` isn't installed.
    """

    def __init__(
        self,
        *,
        namespace: str,
        destination_rule: str,
        fortio_url: str,
        target_url: str,
        sidecar: str,
        kube_context: str | None = None,
        host: str | None = None,
        max_calls_per_step: int = 10_000,
        max_calls: int = 1_000_000,
        max_qps: float | None = None,
        dry_run: bool = False,
        scenario: Scenario | None = None,
        accept: Sequence[str] = (),
        journal: str | Path | None = None,
    ) -> None:
        for name, value in {"namespace": namespace, "destination_rule": destination_rule}.items():
            if not value:
                raise InvalidValueError(name, value, "a name; nothing is changed in a cluster without it")
        self._fortio = Fortio(fortio_url, target_url, max_qps)
        self._cluster = Cluster(namespace, destination_rule, kube_context)
        self._sidecar = Sidecar(sidecar, self._cluster)
        self._limits, self._dry_run = CallLimits(max_calls_per_step, max_calls), dry_run
        self._runs = 0
        self._closed = False
        with ExitStack() as opening:  # frees what was taken if a later step fails
            file = opening.enter_context(Journal(Path(journal or _journal_path(self._cluster))))
            self._borrowed = borrow(self._cluster, file, host)
            if scenario is not None:
                _refuse_others(self.in_force(), scenario, accept)
            self._varied = scenario.rule_names if scenario else ()
            opening.enter_context(_OnSigterm())
            atexit.register(self.close)
            self._open = opening.pop_all()

    @property
    def host(self) -> str:
        """The service, as the DestinationRule names it."""
        return self._borrowed.host

    def in_force(self) -> TrafficRules:
        """Return the rules that the DestinationRule gave when it was found."""
        spec = self._borrowed.found["spec"] if self._borrowed.found else {}
        return given_rules(spec.get("trafficPolicy") or {})

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """See :meth:`Mesh.measure`; each run finds new connections and no ejections at the client's side.

        Raises:
            InvalidValueError: the load would exceed a limit.
            DryRun: what would be sent, in a dry run.
            DestinationRuleChangedError: somebody else changed the DestinationRule.
            FolderError: the journal can't be written; nothing was changed.
        """
        if self._closed:
            raise MeshError("the mesh is closed; make a new one")
        self._limits.check(load.calls)
        started = time.perf_counter()
        policy = self._fresh(traffic_policy(rules))
        if self._dry_run:
            raise DryRun(self._would_send(policy, load))
        whole = self._borrowed.change(policy)
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
        """Return ``policy`` with a connect timeout that differs by milliseconds from those of earlier runs.

        So Envoy rebuilds the cluster even if the rules are the same, which clears ejections, open connections and
        counters, and the sidecar's configuration shows which run it belongs to.
        """
        found = self._borrowed.found["spec"].get("trafficPolicy", {}) if self._borrowed.found else {}
        before = found.get("connectionPool", {}).get("tcp", {}).get("connectTimeout", CONNECT_TIMEOUT)
        timeout = duration(seconds(before) + (1 + self._runs % 10) / 1000)
        return merge(policy, {"connectionPool": {"tcp": {"connectTimeout": timeout}}})

    def _would_send(self, policy: dict[str, Any], load: Load) -> str:
        verb = "PATCH (merge)" if self._borrowed.found else "POST (deleted at the end)"
        path = f"{self._cluster.server}/apis/{GROUP}/{VERSION}/namespaces/{self._cluster.namespace}/{PLURAL}"
        spec = {"trafficPolicy": policy} | ({} if self._borrowed.found else {"host": self._borrowed.host})
        return (
            f"A dry run: nothing was sent. In force now: {self.in_force()}. A run under these rules would send\n"
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
            "in_force": {name: value for name, value in self.in_force().to_dict().items() if name not in self._varied},
        }

    def close(self) -> None:
        """Put the DestinationRule back as it was found; if this fails, a later call tries again.

        Raises:
            DestinationRuleChangedError: somebody else changed it; it stays as it is now.
            RestoreError: it can't be put back now; ``meshgym doctor --restore`` does so later.
        """
        self._closed = True
        atexit.unregister(self.close)
        self._borrowed.give_back()
        self._open.close()


class _OnSigterm:
    """Meanwhile, SIGTERM ends the program as :func:`sys.exit` does, so everything is put back first.

    It does so only in the main thread, and only if nothing else handles SIGTERM.
    """

    def __enter__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        self._set = main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self._set:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))

    def __exit__(self, *_: object) -> None:
        if self._set and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _refuse_others(found: TrafficRules, scenario: Scenario, accept: Sequence[str]) -> None:
    """Check that no rule decides outcomes unseen.

    Raises:
        UnknownNameError: there is no such rule to accept.
        InvalidValueError: rules that neither vary nor are held by the base nor are accepted.
    """
    for name in accept:
        if name not in RULES:
            raise UnknownNameError("rule to accept", name, RULES)
    known = {*scenario.rules, *given_rules(scenario.base).to_dict(), *accept}
    others = {name: value for name, value in found.to_dict().items() if RULES[name].decides and name not in known}
    if others:
        remedy = f"Vary them, put them into the scenario's base, or accept them: --accept {' '.join(others)}."
        allowed = f"only rules that scenario {scenario.name} varies or holds"
        raise InvalidValueError("rules in force in the cluster", others, allowed, remedy)


def _journal_path(cluster: Cluster) -> Path:
    """Return one file per DestinationRule and cluster."""
    server = quote(cluster.server.partition("://")[2], safe="")
    return journal_folder() / f"{server}.{cluster.namespace}.{cluster.name}.json"

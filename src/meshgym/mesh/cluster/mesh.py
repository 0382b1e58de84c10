"""A real cluster as a mesh: rules through the Kubernetes API, load through Fortio, both checked.

A run changes the DestinationRule, waits until the load generator's sidecar has the new rules, has Fortio send the load,
and checks that nothing of that changed meanwhile. The DestinationRule is given back as it was found when the mesh is
closed, at the end of the program, and after SIGINT, SIGTERM and SIGHUP. If even that isn't possible, a note in the
DestinationRule, and a journal on disk, remember it.
"""

from __future__ import annotations

import atexit
import json
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

from meshgym.errors import AwayError, DisturbedError, DryRun, InvalidValueError, MeshError
from meshgym.fields import OF_ROUTE, RULES
from meshgym.mesh.base import Mesh
from meshgym.mesh.cluster.api import GROUP, PLURAL, VERSION, Cluster
from meshgym.mesh.cluster.borrow import borrow
from meshgym.mesh.cluster.journal import Journal, journal_path
from meshgym.mesh.cluster.sidecar import TRAFFIC, Sidecar, Snapshot
from meshgym.mesh.cluster.situation import Situation, look_at, refuse_others
from meshgym.mesh.cluster.waiting import patiently
from meshgym.mesh.limits import SAFE_CALLS, SAFE_CALLS_PER_STEP, SAFE_P503, SAFE_QPS, CallLimits
from meshgym.mesh.load.fortio import Fortio
from meshgym.mesh.shapes import Object
from meshgym.rules.destination_rule import read_mesh_default
from meshgym.rules.envoy_cluster import CONNECT_TIMEOUT
from meshgym.rules.policy import duration, find, given_rules, merge, policy_in_force, seconds, traffic_policy
from meshgym.rules.schema import check_since
from meshgym.scenarios import Scenario
from meshgym.stopping import finishing, heeding_signals
from meshgym.types import Load, Response, TrafficRules
from meshgym.urls import port_of

#: Shows whether a service has recovered.
_PROBE = Load(1, 10)
#: How often the sidecar sends a call at most: by Istio's default, it retries twice.
_TRIES = 3
#: How long to look whether others send requests.
_QUIET_S = 1.0


class IstioMesh(Mesh):
    """A service in a cluster under one DestinationRule; nothing else in the cluster is changed.

    Rules are merged into the DestinationRule that you name; whatever else it says stays. One that limits the target's
    port or subsets by themselves is an error, because these limits would override the measured ones.

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
        max_qps: most calls per second; None for 1000 in an open loop, and for closed ones as fast as the service.
        max_p503: after a run with a larger share of 503s than this, 0..1, nothing more is sent; that run counts.
        probe: after a run with 503s, send nothing until the service, under the DestinationRule as it was found, returns
            200 to single calls again; if it doesn't within ``wait_s``, that is an ``AwayError``.
        namespaces: the only ones in which a DestinationRule may be changed; empty for any.
        dry_run: change and send nothing; :meth:`measure` raises ``DryRun`` with what it would have sent.
        scenario: what varies. Other rules that are in force and decide outcomes are refused, unless the scenario's base
            has them too, or they are accepted.
        accept: names of such rules to measure under nevertheless; ``http2`` for a port that isn't HTTP/1.1, ``traffic``
            for requests of others through the same sidecar.
        mesh_config: file of the mesh's configuration, if its ``defaultTrafficPolicy`` holds for what the
            DestinationRule leaves out.
        wait_s: seconds to wait for a part of the cluster that is away, each time.
        journal: file that remembers the DestinationRule as it was found; by default in ``$XDG_STATE_HOME/meshgym`` or
            ``~/.local/state/meshgym``.

    Raises:
        InvalidValueError: an argument that isn't allowed, or a DestinationRule that can't be measured.
        RestoreError: the DestinationRule is on loan, or another process here is measuring it.
        FolderError: no place for the journal.
        AwayError: the API server doesn't respond.
        ClusterError: it doesn't respond as it should, or a right is missing.
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
        max_calls_per_step: int = SAFE_CALLS_PER_STEP,
        max_calls: int = SAFE_CALLS,
        max_qps: float | None = None,
        max_p503: float = SAFE_P503,
        probe: bool = False,
        namespaces: Sequence[str] = (),
        dry_run: bool = False,
        scenario: Scenario | None = None,
        accept: Sequence[str] = (),
        mesh_config: str | Path | None = None,
        wait_s: float = 600.0,
        journal: str | Path | None = None,
    ) -> None:
        for name, value in {"namespace": namespace, "destination_rule": destination_rule}.items():
            if not value:
                raise InvalidValueError(name, value, "a name; nothing is changed in a cluster without it")
        if namespaces and namespace not in namespaces:
            raise InvalidValueError("namespace", namespace, f"one of {', '.join(namespaces)}, as namespaces says")
        self._cluster = Cluster(namespace, destination_rule, kube_context)
        self._fortio = Fortio(fortio_url, target_url, max_qps, f"{self._cluster.server} {self._cluster.named}")
        self._port = port_of(target_url)
        self._sidecar = Sidecar(sidecar, self._cluster)
        self._limits, self._max_qps = CallLimits(max_calls_per_step, max_calls, max_p503), max_qps
        self._dry_run, self._wait_s = dry_run, wait_s
        self._mesh_default = read_mesh_default(mesh_config) if mesh_config else {}
        if beyond := [name for name in (scenario.rule_names if scenario else ()) if name in OF_ROUTE]:
            raise InvalidValueError(
                "rules that vary",
                beyond,
                "those of a DestinationRule in a cluster",
                "No VirtualService is changed there.",
            )
        self._scenario, self._accept = scenario, accept
        self._probe, self._last_p503 = probe, 0.0
        self._runs = 0
        self._closed = False
        with ExitStack() as opening:  # frees what was taken if a later step fails
            path = journal or journal_path(self._cluster.server, namespace, destination_rule)
            file = opening.enter_context(Journal(Path(path)))
            self._borrowed = borrow(self._cluster, file, self._port, host)
            found: Object = self._borrowed.found["spec"] if self._borrowed.found else {"host": host}
            #: The service, as the DestinationRule names it.
            self.host = str(found["host"])
            self._found = found
            opening.enter_context(heeding_signals())
            atexit.register(self.close)
            self._open = opening.pop_all()

    @cached_property
    def situation(self) -> Situation:
        """What is in force, as the sidecar has it before the first run.

        Raises:
            InvalidValueError: the service has no ready replica, or gets requests of others; the rules in force are
                another DestinationRule's, or decide outcomes unseen; or a rule that varies isn't there in the sidecar's
                Istio.
            AwayError, ClusterError: no response.
        """
        snapshot = self._sidecar.look(self.host, self._port)
        self._sidecar.check_replicas(self.host, snapshot)
        if TRAFFIC not in self._accept:
            self._sidecar.check_quiet(snapshot, _QUIET_S)
        situation = look_at(snapshot, self._in_force({}), self._cluster.named)
        if scenario := self._scenario:
            refuse_others(situation, scenario, given_rules(scenario.base).to_dict(), self._accept)
            if istio := re.match(r"\d+\.\d+", situation.istio):
                for name in scenario.rule_names:
                    check_since(name, "a rule that varies", RULES[name].since, istio[0])
        return situation

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """See :meth:`Mesh.measure`; each run finds new connections and no ejections at the client's side.

        While a part of the cluster is away, the run waits.

        Raises:
            InvalidValueError: the load would exceed a limit; or see :attr:`situation`.
            LimitError: too many calls of an earlier run failed.
            DryRun: what would be sent, in a dry run.
            DestinationRuleChangedError: somebody else changed the DestinationRule.
            DisturbedError: something changed while the load was sent, so that the run says nothing.
            FolderError: the journal can't be written; nothing was changed.
            AwayError: a part of the cluster was away for longer than ``wait_s``.
        """
        if self._closed:
            raise MeshError("the mesh is closed; make a new one")
        self._limits.check(load.calls)
        if load.open and load.rate_per_s > (self._max_qps or SAFE_QPS):
            allowed = f"max_qps={self._max_qps:g}" if self._max_qps else f"{SAFE_QPS:g}, unless max_qps says more"
            raise InvalidValueError("rate_per_s", load.rate_per_s, f"at most {allowed}")
        if self._dry_run:
            raise DryRun(self._would_send(self._fresh(self._policy(rules)), load))
        return patiently(lambda: self._measure(rules, load), self._wait_s)

    def _measure(self, rules: TrafficRules, load: Load) -> Response:
        started = time.perf_counter()
        self.situation  # noqa: B018 (before anything is changed)
        self._fortio.clear()
        if self._probe and self._last_p503:
            self._check_recovered()
        before = self._put(self._policy(rules))
        overhead_s = time.perf_counter() - started
        self._limits.check(load.calls)  # once more: a run may have been repeated
        self._limits.sent += load.calls
        response = self._fortio.run(load)
        after = self._sidecar.look(self.host, self._port)
        after.check_since(before)
        if TRAFFIC not in self._accept and (seen := self._sidecar.replicas(after).requests) > _TRIES * load.calls:
            raise DisturbedError(
                f"the sidecar sent {seen} requests to the service, and the load had {load.calls} calls"
            )
        self._borrowed.check_unchanged()
        self._limits.note(response.p503)
        self._last_p503 = response.p503
        assert isinstance(response.details, dict)
        response.details["overhead_s"] = overhead_s
        return response

    def _put(self, policy: Object) -> Snapshot:
        """Put a policy in force, afresh; return what the sidecar holds then."""
        policy = self._fresh(policy)
        self._borrowed.change(merge(self._found, {"trafficPolicy": policy}))
        self._runs += 1  # not before: a change that failed must not bring back the configuration of the last run
        return self._sidecar.await_policy(self.host, self._port, self._in_force(policy))

    def _check_recovered(self) -> None:
        self._limits.check(_PROBE.calls)
        self._put({})
        self._limits.sent += _PROBE.calls
        if (response := self._fortio.run(_PROBE)).p200 < 1:
            raise AwayError(
                f"since a run with {self._last_p503:.0%} of 503s, {self.host} hasn't recovered: "
                f"{response.p200:.0%} of {_PROBE.calls} single calls returned 200"
            )
        self._last_p503 = 0.0

    def _policy(self, rules: TrafficRules) -> Object:
        """Return the ``trafficPolicy`` of a run, without what was found: the rules, and the base of the scenario."""
        return self._scenario.policy(rules) if self._scenario else traffic_policy(rules)

    def _in_force(self, policy: Object) -> Object:
        """Return the ``trafficPolicy`` that is in force if ``policy`` is merged into what was found."""
        spec = merge(self._found, {"trafficPolicy": policy})
        return policy_in_force(spec, port=self._port, mesh_default=self._mesh_default)

    def _fresh(self, policy: Object) -> Object:
        """Return ``policy`` with a connect timeout that differs by milliseconds from those of earlier runs.

        So Envoy rebuilds the cluster even if the rules are the same, which clears ejections, open connections and
        counters, and the sidecar's configuration shows which run it belongs to.
        """
        path = "connectionPool.tcp.connectTimeout"
        before = find(merge(self._in_force({}), policy), path) or CONNECT_TIMEOUT
        timeout = duration(seconds(before, path) + (1 + self._runs % 10) / 1000)
        return merge(policy, {"connectionPool": {"tcp": {"connectTimeout": timeout}}})

    def _would_send(self, policy: Object, load: Load) -> str:
        verb = "PATCH (merge)" if self._borrowed.found else "POST (deleted at the end)"
        path = f"{self._cluster.server}/apis/{GROUP}/{VERSION}/namespaces/{self._cluster.namespace}/{PLURAL}"
        spec = {"trafficPolicy": policy} | ({} if self._borrowed.found else {"host": self.host})
        return (
            f"A dry run: nothing was sent. {self.situation}. A run under these rules would send\n"
            f"{verb} {path}/{self._cluster.name}\n{json.dumps({'spec': spec}, indent=2)}\n"
            f"POST {self._fortio.run_url}\n{json.dumps(self._fortio.request(load), indent=2)}"
        )

    def about(self) -> dict[str, Any]:
        """See :meth:`Mesh.about`."""
        situation = self.situation
        varied = self._scenario.rule_names if self._scenario else ()
        rules = {name: value for name, value in situation.rules.to_dict().items() if name not in varied}
        return {
            "mesh": "cluster",
            "namespace": self._cluster.namespace,
            "destination_rule": self._cluster.name,
            "host": self.host,
            "target_url": self._fortio.target_url,
            "found": self._found,
            "in_force": rules,
            **situation.to_dict(),
        }

    def versions(self) -> dict[str, str]:
        """See :meth:`Mesh.versions`."""
        return {"envoy": self.situation.envoy, "istio": self.situation.istio}

    def close(self) -> None:
        """Give the DestinationRule back as it was found; if this fails, a later call tries again.

        Signals wait for it; a third one doesn't.

        Raises:
            DestinationRuleChangedError: somebody else changed it; it stays as it is now.
            RestoreError: it can't be given back now; ``meshgym doctor --restore`` does so later.
        """
        self._closed = True
        atexit.unregister(self.close)
        with finishing(f"giving back {self._cluster}"):
            self._borrowed.give_back(self._wait_s)
            self._open.close()

"""The embedded mesh: real Envoys on this machine, one as the client's sidecar, one as the service."""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshgym.errors import DisturbedError, InvalidValueError, LoadError, MeshError, RulesRefusedError
from meshgym.mesh.base import Mesh
from meshgym.mesh.embedded.certificates import make_certificates
from meshgym.mesh.embedded.process import EnvoyGroup
from meshgym.mesh.embedded.response import check_sound, make_response
from meshgym.mesh.embedded.service import (
    CLUSTER_HEADER,
    RUN_HEADER,
    STATISTICS,
    cluster_name,
    replica_names,
    service_bootstrap,
    service_cluster,
    sidecar_bootstrap,
    socket_in,
)
from meshgym.mesh.load.client import LoadClient, allow_connections, no_collection
from meshgym.mesh.load.flow import Flow, LoadResult
from meshgym.rules.envoy_cluster import envoy_cluster
from meshgym.rules.policy import duration
from meshgym.scenarios import Scenario, load_scenario
from meshgym.service_profile import HOUR_MS, ServiceProfile
from meshgym.types import Load, Response, TrafficRules

_APPLY_S = 5.0
#: Connections that an open loop may need; more are an error of this machine if it has none.
_OPEN_CONNECTIONS = 1000
#: Times that a run is made if it's disturbed.
_ATTEMPTS = 3
#: With every run, Envoy reads the clusters of all lanes again.
MOST_LANES = 64
_SEEN, _EJECTIONS, _ACTIVE, _VERSION, _REJECTED = STATISTICS

_Step = Future[Any] | Flow


@dataclass
class _Run:
    """What one lane is doing: the steps of its run, the step that it waits for, and the connections it needs."""

    steps: Generator[_Step, Any, Response]
    step: _Step
    threads: int


class EmbeddedMesh(Mesh):
    """A sidecar Envoy with the given rules, in front of a service of limited capacity.

    Everything lives in a temporary folder that only this user can enter, and ends with this process, however that ends;
    only the sidecar listens outside it, on a free port of 127.0.0.1. Several can run at once. A mesh with several lanes
    measures that many settings side by side: each lane has its own cluster in the sidecar and its own token buckets in
    the replicas. Lanes share the processes, which costs far less than a mesh for each.

    Args:
        scenario: name, file or :class:`Scenario`; its service profile is used, and its base holds for all rules that
            aren't given.
        profile: another service profile than the scenario's.
        lanes: settings that can be measured at once, 1..64; see :meth:`begin`.

    Raises:
        InvalidValueError: no service profile, or a number of lanes that isn't allowed.
        MissingDependencyError: no Envoy for this platform.
        MeshStartError: an Envoy didn't start.
    """

    def __init__(
        self, scenario: str | Path | Scenario = "S1", profile: ServiceProfile | None = None, lanes: int = 1
    ) -> None:
        self.scenario = load_scenario(scenario)
        chosen = profile or self.scenario.service
        if chosen is None:
            raise InvalidValueError("service", None, "a [service] section in the scenario, or a profile")
        if not 1 <= lanes <= MOST_LANES:
            raise InvalidValueError("lanes", lanes, f"a whole number 1..{MOST_LANES}")
        self.profile = chosen
        self.lanes = lanes
        self._owner = os.getpid(), threading.get_ident()
        self._secret = secrets.token_hex(8)
        self._number = 0
        self._clusters: dict[int, str] = {}
        self._runs: dict[int, _Run] = {}
        #: Talks to Envoy's admin interface while the flows of other lanes go on.
        self._worker = ThreadPoolExecutor(1)
        self._envoys = EnvoyGroup()
        self._client: LoadClient | None = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        folder, profile = self._envoys.folder, self.profile
        self._cds = folder / "clusters" / "cds.json"  # Envoy watches its folder, so nothing else is written there
        self._cds.parent.mkdir()
        self._cds.write_text(json.dumps({"resources": []}))
        self._certificates = make_certificates(folder) if profile.mtls else None
        admins = self._envoys.start(
            {
                "service": service_bootstrap(folder, profile, self._certificates, self.lanes),
                "sidecar": sidecar_bootstrap(folder, profile, self._cds),
            },
            {"service": 1, "sidecar": profile.proxy_workers},
        )
        self._replicas = [socket_in(folder, name) for name in replica_names(profile)]
        self._sidecar = admins["sidecar"]
        self._client = LoadClient(("127.0.0.1", self._sidecar.port("outbound")))

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """See :meth:`Mesh.measure`; checks that every response came under these rules and in this run."""
        return self.measure_policy(self.scenario.policy(rules), load)

    def measure_policy(self, policy: dict[str, Any], load: Load) -> Response:
        """Measure as :meth:`measure` does, under a DestinationRule's ``trafficPolicy`` as it is.

        A disturbed run is made again, up to twice.
        """
        for _ in range(_ATTEMPTS):
            self.begin(0, policy, load)
            with no_collection():
                while not (ended := self.completed()):
                    pass
            ((_, result),) = ended
            if not isinstance(result, DisturbedError):
                break
        if isinstance(result, MeshError):
            raise result
        return result

    def begin(self, lane: int, policy: dict[str, Any], load: Load) -> None:
        """Put a policy in force in a free lane, then send ``load``; :meth:`completed` goes on with it.

        Args:
            lane: 0 .. lanes - 1.
            policy: a DestinationRule's ``trafficPolicy``.
            load: what is sent.

        Raises:
            MeshError: the mesh is closed or broken, or another process' or thread's.
            LoadError: this process may not open so many connections.
        """
        self._check_owner()
        self._envoys.check()
        threads = min(load.calls, _OPEN_CONNECTIONS) if load.open else load.threads
        allow_connections(threads + sum(run.threads for run in self._runs.values()))
        steps = self._steps(lane, policy, load)
        self._runs[lane] = _Run(steps, next(steps), threads)

    def _check_owner(self) -> None:
        if self._owner != (os.getpid(), threading.get_ident()):
            raise MeshError("this mesh belongs to the process and thread that made it; make another one here")

    def _steps(self, lane: int, policy: dict[str, Any], load: Load) -> Generator[_Step, Any, Response]:
        """Make a run: yield each step to wait for, and receive its result."""
        assert self._client is not None
        started_at = time.perf_counter()
        number, before = yield self._submit(self._apply, policy, lane)
        headers = {RUN_HEADER: number, CLUSTER_HEADER: self._cluster(lane)}
        result: LoadResult = yield self._client.start(load, headers, f"{RUN_HEADER}: {number}\r\n".encode())
        if result.broken == load.calls:
            raise LoadError("not one call got a response; the sidecar's Envoy refuses connections")
        after = yield self._submit(self._stats, lane)
        seen, ejections = (int(after[name]) - int(before[name]) for name in (_SEEN, _EJECTIONS))
        check_sound(result, load, self.profile, seen, ejections)
        overhead_s = time.perf_counter() - started_at - result.duration_s
        return make_response(result, load, ejections=ejections, overhead_s=overhead_s)

    def _cluster(self, lane: int) -> str:
        return cluster_name(lane, self._secret)

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future = self._worker.submit(function, *arguments)
        future.add_done_callback(self._wake)
        return future

    def _wake(self, _: Future[Any]) -> None:
        if self._client is not None:
            self._client.wake()

    def completed(self) -> list[tuple[int, Response | MeshError]]:
        """Go on with all lanes until something happens; return the lanes that are done, and their results.

        Raises:
            MeshError: the mesh is broken, or another process' or thread's; what was begun is lost.
        """
        self._check_owner()
        ended: list[tuple[int, Response | MeshError]] = []
        try:
            self._envoys.check()
            assert self._client is not None
            over = self._client.poll()
            for lane, run in list(self._runs.items()):
                if run.step in over or (isinstance(run.step, Future) and run.step.done()):
                    result = self._advance(run)
                    if result is not None:
                        del self._runs[lane]
                        ended.append((lane, result))
            self._envoys.check()  # the 503s of a service that died don't count
        except BaseException:
            self._abandon()
            raise
        return ended

    def _advance(self, run: _Run) -> Response | MeshError | None:
        """Take a run from a finished step to the next; after the last, or an error, return what came of it."""
        try:
            run.step = run.steps.send(run.step.finish() if isinstance(run.step, Flow) else run.step.result())
        except StopIteration as end:
            response: Response = end.value
            return response
        except MeshError as error:
            self._envoys.check(wait_s=0.2)  # an Envoy that died explains more than what that caused
            return error
        return None

    def _abandon(self) -> None:
        for run in self._runs.values():
            if isinstance(run.step, Flow) and self._client is not None:
                self._client.drop(run.step)
        self._runs.clear()

    def _apply(self, policy: dict[str, Any], lane: int = 0) -> tuple[str, dict[str, str]]:
        """Put the rules in force and wait until Envoy confirms it; return the run's number and the counters so far."""
        self._number += 1
        number = str(self._number)
        cluster = service_cluster(
            envoy_cluster(self._closing_idle(policy), self._cluster(lane)),
            self._replicas,
            self.profile.replicas,
            number,
            self._certificates,
        )
        rejected = self._stats(lane)[_REJECTED]
        clusters = {**self._clusters, lane: json.dumps(cluster)}
        new = self._cds.with_suffix(".new")
        new.write_text(f'{{"version_info": "{number}", "resources": [{", ".join(clusters.values())}]}}')
        new.replace(self._cds)  # Envoy watches for the rename
        deadline = time.monotonic() + _APPLY_S
        while time.monotonic() < deadline:
            stats = self._stats(lane)
            if stats[_VERSION] == number:
                if stats[_ACTIVE] != "0":
                    raise MeshError("ejections of an earlier run are left; this is a bug, please report it")
                self._clusters = clusters
                return number, stats
            if stats[_REJECTED] != rejected:
                reason = self._envoys.log("sidecar").splitlines()[-1].lstrip("}: ")
                raise RulesRefusedError(f"Envoy refused the rules: {reason}")
            time.sleep(0.0005)
        raise MeshError(f"Envoy didn't take the rules within {_APPLY_S:g} s")

    def _closing_idle(self, policy: dict[str, Any]) -> dict[str, Any]:
        """Return ``policy`` with the profile's ``idleTimeout``, if it has none and that isn't Envoy's own."""
        pool = policy.get("connectionPool") or {}
        given = any((pool.get(part) or {}).get("idleTimeout") is not None for part in ("http", "tcp"))
        if given or self.profile.idle_timeout_ms == HOUR_MS:
            return policy
        http = {**(pool.get("http") or {}), "idleTimeout": duration(self.profile.idle_timeout_ms / 1000)}
        return {**policy, "connectionPool": {**pool, "http": http}}

    def _stats(self, lane: int) -> dict[str, str]:
        """Return the statistics of a lane, by the last parts of their names."""
        cluster = re.escape(self._cluster(lane))
        found = self._sidecar.stats(rf"cluster_manager\.cds\.|{cluster}\.({_SEEN}|outlier_detection)")
        last = {name.rpartition(".")[2]: value.strip('"') for name, value in found.items()}
        return dict.fromkeys(STATISTICS, "0") | {_VERSION: ""} | last

    def close(self) -> None:
        """See :meth:`Mesh.close`."""
        self._envoys.close()
        if os.getpid() != self._owner[0]:
            return  # a forked child shares the client's selector with its parent
        self._abandon()
        self._worker.shutdown(cancel_futures=True)
        if self._client is not None:
            self._client.close()
            self._client = None

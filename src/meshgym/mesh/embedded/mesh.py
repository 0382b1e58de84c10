"""The embedded mesh: real Envoys on this machine, one as the client's sidecar, one as the service."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshgym.errors import DisturbedError, InvalidValueError, LoadError, MeshError
from meshgym.mesh.base import Mesh, stacked
from meshgym.mesh.embedded.bootstrap import RUN_HEADER
from meshgym.mesh.embedded.clusters import CONNECTED, EJECTED, EJECTIONS, SEEN, Clusters, prepare_clusters
from meshgym.mesh.embedded.own import own
from meshgym.mesh.embedded.probe import Probe
from meshgym.mesh.embedded.process import EnvoyGroup, envoy_identity
from meshgym.mesh.embedded.response import check_counters, check_sound, make_response
from meshgym.mesh.embedded.service import synthetic
from meshgym.mesh.embedded.sidecar import CLUSTER_HEADER, sidecar_bootstrap
from meshgym.mesh.limits import AllowedHost
from meshgym.mesh.load.client import LoadClient, allow_connections, no_collection
from meshgym.mesh.load.flow import Flow, LoadResult
from meshgym.rules.route import route_headers
from meshgym.scenarios import Scenario, load_scenario
from meshgym.service.own import OwnService, Service, to_table
from meshgym.types import SETTING_NAMES, Load, Response, Setting, TrafficRules, check_settings

if TYPE_CHECKING:
    from meshgym.mesh.load.fortio import Fortio

#: Connections that an open loop may need; more are an error of this machine if it has none.
_OPEN_CONNECTIONS = 1000
#: Times that a run is made if it's disturbed.
_ATTEMPTS = 3
#: With every run, Envoy reads the clusters of all lanes again.
MOST_LANES = 64

_Step = Future[Any] | Flow


@dataclass
class _Run:
    """What one lane is doing: the steps of its run, the step that it waits for, and the connections it needs."""

    steps: Generator[_Step, Any, Response]
    step: _Step
    threads: int


class EmbeddedMesh(Mesh):
    """A sidecar Envoy with the given rules, in front of a service of limited capacity, or of one that is there already.

    Everything lives in a temporary folder that only this user can enter, and ends with this process, however that ends;
    only the sidecar listens outside it, on a free port of 127.0.0.1. Several can run at once. A mesh with several lanes
    measures that many settings side by side: each lane has its own cluster in the sidecar and its own token buckets in
    the replicas. Lanes share the processes, which costs far less than a mesh for each.

    Args:
        scenario: name, file or :class:`Scenario`; its service is used, and its base holds for all rules that aren't
            given.
        profile: another service than the scenario's.
        lanes: settings that can be measured at once, 1..64; see :meth:`begin`. A service of the user's own takes 1.
        fortio: URL of a Fortio server on this machine that sends the loads, one at a time; None for the mesh's own
            generator. Fortio can't say which 503 is whose, so these details are missing.
        allowed_host: another host than this machine where the service may be, and limits for it.

    Raises:
        InvalidValueError: no service, one elsewhere, a number of lanes that isn't allowed, or a URL that is none.
        MissingDependencyError: no Envoy for this platform.
        MeshStartError: an Envoy didn't start, or a service of the user's own doesn't respond as it should.
    """

    def __init__(
        self,
        scenario: str | Path | Scenario = "S1",
        profile: Service | None = None,
        lanes: int = 1,
        fortio: str | None = None,
        allowed_host: AllowedHost | None = None,
    ) -> None:
        self.scenario = load_scenario(scenario)
        chosen = profile or self.scenario.service
        if chosen is None:
            raise InvalidValueError("service", None, "a [service] section in the scenario, or a profile")
        self._allowed_host = allowed_host
        alone = fortio or isinstance(chosen, OwnService)  # several loads at once would be one to it
        most = 1 if alone else MOST_LANES
        if not 1 <= lanes <= most:
            raise InvalidValueError("lanes", lanes, f"a whole number 1..{most}")
        self.profile = chosen
        self.lanes = lanes
        self._owner = os.getpid(), threading.get_ident()
        self._runs: dict[int, _Run] = {}
        #: By lane: the number of the run from which on nothing was made afresh.
        self._origins: dict[int, str] = {}
        #: Talks to Envoy's admin interface while the flows of other lanes go on.
        self._worker = ThreadPoolExecutor(1)
        self._envoys = EnvoyGroup()
        self._client: LoadClient | None = None
        self._fortio: Fortio | None = None
        self._probe: Probe | None = None
        try:
            self._start()
            if fortio:
                self._fortio = _fortio(fortio, self._client, chosen)
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        folder, profile = self._envoys.folder, self.profile
        if isinstance(profile, OwnService):
            backend = own(profile, self._allowed_host.name if self._allowed_host else "")
        else:
            backend = synthetic(folder, profile, self.lanes)
        cds = prepare_clusters(folder)
        bootstraps = {**backend.bootstraps, "sidecar": sidecar_bootstrap(folder, profile, backend, cds)}
        admins = self._envoys.start(bootstraps, {"service": 1, "sidecar": profile.proxy_workers})
        self._sidecar = admins["sidecar"]
        refusal = partial(self._envoys.log, "sidecar")
        self._clusters = Clusters(cds, self._sidecar, backend, profile.idle_timeout_ms, refusal)
        address = "127.0.0.1", self._sidecar.port("outbound")
        timeout_s = profile.client_timeout_ms / 1000
        self._client = LoadClient(address, request=backend.request, call_timeout_s=timeout_s)
        if isinstance(profile, OwnService):
            self._probe = Probe(backend, address, profile.probe_s)
            self._probe.check()

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """See :meth:`Mesh.measure`; checks that every response came under these rules and in this run."""
        return self._measure(self.scenario.policy(rules), load, route_headers(rules))

    def measure_policy(self, policy: dict[str, Any], load: Load) -> Response:
        """Measure as :meth:`measure` does, under a DestinationRule's ``trafficPolicy`` as it is.

        A disturbed run is made again, up to twice.
        """
        return self._measure(policy, load, {})

    def _measure(self, policy: dict[str, Any], load: Load, route: Mapping[str, str]) -> Response:
        for _ in range(_ATTEMPTS):
            self.begin(0, policy, load, route)
            with no_collection():
                while not (ended := self.completed()):
                    pass
            ((_, result),) = ended
            if not isinstance(result, DisturbedError):
                break
        if isinstance(result, MeshError):
            raise result
        return result

    def measure_many(self, settings: Any, names: Sequence[str] = SETTING_NAMES) -> Response:
        """Measure n settings, as many side by side as there are lanes; a disturbed run is made again, up to twice."""
        asked = [Setting.from_row(row, names) for row in check_settings(settings, names)]
        queue = deque((number, 1) for number in range(len(asked)))
        running: dict[int, tuple[int, int]] = {}
        found: dict[int, Response] = {}
        with no_collection():
            while queue or running:
                for lane in [lane for lane in range(self.lanes) if lane not in running][: len(queue)]:
                    running[lane] = queue.popleft()
                    self.begin_setting(lane, asked[running[lane][0]])
                for lane, result in self.completed():
                    number, attempt = running.pop(lane)
                    if isinstance(result, Response):
                        found[number] = result
                    elif isinstance(result, DisturbedError) and attempt < _ATTEMPTS:
                        queue.append((number, attempt + 1))
                    else:
                        self._abandon()
                        raise result
        return stacked([found[number] for number in range(len(asked))])

    def begin_setting(self, lane: int, setting: Setting, goes_on: bool = False) -> None:
        """Put rules in force in a free lane, then send the load, see :meth:`begin`."""
        self.begin(lane, self.scenario.policy(setting.rules), setting.load, route_headers(setting.rules), goes_on)

    def begin(
        self,
        lane: int,
        policy: dict[str, Any],
        load: Load,
        route: Mapping[str, str] | None = None,
        goes_on: bool = False,
    ) -> None:
        """Put a policy in force in a free lane, then send ``load``; :meth:`completed` goes on with it.

        Args:
            lane: 0 .. lanes - 1.
            policy: a DestinationRule's ``trafficPolicy``.
            load: what is sent.
            route: headers that put a VirtualService's part in force, see :func:`meshgym.rules.route.route_headers`.
            goes_on: whether the lane's last run goes on: what the replicas can still serve, and what is wrong with
                them, is as it was, and so are ejections and connections if the policy is the same. A changed
                policy makes Envoy build the cluster anew, without any, as a changed DestinationRule does.

        Raises:
            MeshError: the mesh is closed or broken, or another process' or thread's.
            LoadError: this process may not open so many connections.
            InvalidValueError, LimitError: more than another host may get.
        """
        self._check_owner()
        self._envoys.check()
        if self._allowed_host is not None:
            self._allowed_host.check(load)
        threads = min(load.calls, _OPEN_CONNECTIONS) if load.open else load.threads
        allow_connections(threads + sum(run.threads for run in self._runs.values()))
        steps = self._steps(lane, policy, load, route or {}, goes_on)
        self._runs[lane] = _Run(steps, next(steps), threads)

    def rebuild(self, lane: int) -> None:
        """Let a run that goes on begin with a cluster built anew, without ejections or connections."""
        self._clusters.forget(lane)

    def _check_owner(self) -> None:
        if self._owner != (os.getpid(), threading.get_ident()):
            raise MeshError("this mesh belongs to the process and thread that made it; make another one here")

    def _steps(
        self, lane: int, policy: dict[str, Any], load: Load, route: Mapping[str, str], goes_on: bool
    ) -> Generator[_Step, Any, Response]:
        """Make a run: yield each step to wait for, and receive its result."""
        assert self._client is not None
        started_at = time.perf_counter()
        if self._probe is not None:
            yield self._submit(self._probe.wait)
        number, before = yield self._submit(self._clusters.keep if goes_on else self._clusters.put, policy, lane)
        origin = self._origins[lane] = self._origins[lane] if goes_on else number
        headers = {RUN_HEADER: origin, CLUSTER_HEADER: self._clusters.name(lane), **route}
        if self._fortio:
            response: Response = yield self._submit(self._fortio.run, load, headers)
        else:
            result: LoadResult = yield self._client.start(load, headers, f"{RUN_HEADER}: {number}\r\n".encode())
            if result.broken == load.calls:
                raise LoadError("not one call got a response; the sidecar's Envoy refuses connections")
            check_sound(result, load, self.profile)
            response = make_response(result, load)
        after = yield self._submit(self._clusters.stats, lane)
        seen, ejections = (int(after[name]) - int(before[name]) for name in (SEEN, EJECTIONS))
        if self._allowed_host is not None:
            self._allowed_host.calls.note(float(response.p503))
        check_counters(seen, ejections, load, int(response.details.get("timeout", 0)) if response.details else 0)
        details = response.details or {}
        overhead_s = time.perf_counter() - started_at - details["duration_s"]
        left = {"ejected": int(after[EJECTED]), "connected": int(after[CONNECTED])}
        return response._replace(details={**details, "ejections": ejections, "overhead_s": overhead_s, **left})

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

    def about(self) -> dict[str, Any]:
        """See :meth:`Mesh.about`."""
        return to_table(self.profile) | ({"generator": "Fortio"} if self._fortio else {})

    def versions(self) -> dict[str, str]:
        """See :meth:`Mesh.versions`."""
        return envoy_identity()

    def close(self) -> None:
        """See :meth:`Mesh.close`."""
        self._envoys.close()
        if os.getpid() != self._owner[0]:
            return  # a forked child shares the client's selector with its parent
        self._abandon()
        self._worker.shutdown(cancel_futures=True)
        for client in (self._client, self._probe):
            if client is not None:
                client.close()
        self._client = self._probe = None


def _fortio(url: str, client: LoadClient | None, service: Service) -> Fortio:
    """Return a Fortio that sends where the client does; it must be on this machine.

    Raises:
        InvalidValueError: a service of the user's own, whose requests are the mesh's.
        AwayError: nothing responds.
        LoadError: something else than Fortio does.
    """
    from meshgym.mesh.load.fortio import Fortio  # needs packages that the mesh's own generator doesn't

    if isinstance(service, OwnService):
        raise InvalidValueError("fortio", url, "none with a service of your own; the mesh sends its requests itself")
    assert client is not None
    host, port = client.address
    fortio = Fortio(url, f"http://{host}:{port}/", owner=f"embedded mesh {os.getpid()}")
    fortio.check()
    return fortio

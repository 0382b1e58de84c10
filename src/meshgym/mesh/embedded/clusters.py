"""The clusters of the client's sidecar: one for each lane, made anew for each run unless the last one goes on."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshgym.errors import MeshError, RulesRefusedError
from meshgym.mesh.embedded.backend import Backend
from meshgym.mesh.embedded.process import Admin
from meshgym.mesh.embedded.sidecar import STATISTICS, cluster_name, service_cluster
from meshgym.rules.envoy_cluster import envoy_cluster
from meshgym.rules.policy import duration
from meshgym.service.profile import HOUR_MS

_APPLY_S = 5.0
SEEN, EJECTIONS, EJECTED, CONNECTED, _VERSION, _REJECTED = STATISTICS


def prepare_clusters(folder: Path) -> Path:
    """Make the file of a sidecar's clusters, without any."""
    cds = folder / "clusters" / "cds.json"  # Envoy watches its folder, so nothing else is written there
    cds.parent.mkdir()
    cds.write_text(json.dumps({"resources": []}))
    return cds


class Clusters:
    """What the sidecar knows of the service, which it reads from a file.

    Args:
        cds: the file, made by :func:`prepare_clusters`.
        admin: the sidecar's admin interface.
        backend: the service.
        idle_timeout_ms: how long the sidecar keeps a connection that isn't used, unless the rules say so.
        refusal: returns the end of the sidecar's log.
    """

    def __init__(
        self,
        cds: Path,
        admin: Admin,
        backend: Backend,
        idle_timeout_ms: int,
        refusal: Callable[[], str],
    ) -> None:
        self._cds, self._admin, self._backend, self._refusal = cds, admin, backend, refusal
        self._idle_timeout_ms = idle_timeout_ms
        self._secret = secrets.token_hex(8)
        self._number = 0
        self._clusters: dict[int, str] = {}
        #: By lane: the rules in force, and the number of the run that put them there.
        self._in_force: dict[int, tuple[dict[str, Any], str]] = {}

    def name(self, lane: int) -> str:
        """Return the name of a lane's cluster."""
        return cluster_name(lane, self._secret)

    def put(self, policy: dict[str, Any], lane: int = 0) -> tuple[str, dict[str, str]]:
        """Put rules in force and wait until Envoy confirms it; return the run's number and the counters so far.

        Raises:
            RulesRefusedError: Envoy refuses them.
            MeshError: it doesn't take them, or something is left of an earlier run.
        """
        self._number += 1
        number = str(self._number)
        self._in_force.pop(lane, None)
        given, policy = policy, self._closing_idle(policy)
        cluster = envoy_cluster(policy, self.name(lane), protocol=self._backend.protocol)
        cluster = service_cluster(cluster, self._backend, number)
        rejected = self.stats(lane)[_REJECTED]
        clusters = {**self._clusters, lane: json.dumps(cluster)}
        new = self._cds.with_suffix(".new")
        new.write_text(f'{{"version_info": "{number}", "resources": [{", ".join(clusters.values())}]}}')
        new.replace(self._cds)  # Envoy watches for the rename
        deadline = time.monotonic() + _APPLY_S
        while time.monotonic() < deadline:
            stats = self.stats(lane)
            if stats[_VERSION] == number:
                if stats[EJECTED] != "0":
                    raise MeshError("ejections of an earlier run are left; this is a bug, please report it")
                self._clusters = clusters
                self._in_force[lane] = given, number
                return number, stats
            if stats[_REJECTED] != rejected:
                reason = self._refusal().splitlines()[-1].lstrip("}: ")
                raise RulesRefusedError(f"Envoy refused the rules: {reason}")
            time.sleep(0.0005)
        raise MeshError(f"Envoy didn't take the rules within {_APPLY_S:g} s")

    def keep(self, policy: dict[str, Any], lane: int = 0) -> tuple[str, dict[str, str]]:
        """Do as :meth:`put` where these rules aren't in force yet; where they are, change nothing.

        So ejections and connections stay, until other rules make Envoy build the cluster anew.
        """
        in_force, number = self._in_force.get(lane, (None, ""))
        return (number, self.stats(lane)) if in_force == policy else self.put(policy, lane)

    def forget(self, lane: int) -> None:
        """Let the next :meth:`keep` build the cluster anew, whatever the rules are."""
        self._in_force.pop(lane, None)

    def stats(self, lane: int) -> dict[str, str]:
        """Return the statistics of a lane, by the last parts of their names."""
        cluster = re.escape(self.name(lane))
        found = self._admin.stats(rf"cluster_manager\.cds\.|{cluster}\.({SEEN}|{CONNECTED}|outlier_detection)")
        last = {name.rpartition(".")[2]: value.strip('"') for name, value in found.items()}
        return dict.fromkeys(STATISTICS, "0") | {_VERSION: ""} | last

    def _closing_idle(self, policy: dict[str, Any]) -> dict[str, Any]:
        """Return ``policy`` with the service's ``idleTimeout``, if it has none and that isn't Envoy's own."""
        pool = policy.get("connectionPool") or {}
        given = any((pool.get(part) or {}).get("idleTimeout") is not None for part in ("http", "tcp"))
        if given or self._idle_timeout_ms == HOUR_MS:
            return policy
        http = {**(pool.get("http") or {}), "idleTimeout": duration(self._idle_timeout_ms / 1000)}
        return {**policy, "connectionPool": {**pool, "http": http}}

"""The embedded mesh: real Envoys on this machine, one as the client's sidecar, one as the service."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from meshgym.errors import InvalidValueError, LoadError, MeshError, RulesRefusedError
from meshgym.mesh.base import Mesh
from meshgym.mesh.certificates import make_certificates
from meshgym.mesh.destination_rule import envoy_cluster, traffic_policy
from meshgym.mesh.load import Answers, ClosedLoop
from meshgym.mesh.process import EnvoyGroup
from meshgym.mesh.service import (
    CLUSTER,
    FLAGS_HEADER,
    RUN_HEADER,
    replica_names,
    service_bootstrap,
    service_cluster,
    sidecar_bootstrap,
)
from meshgym.scenarios import Scenario, ServiceProfile, load_scenario
from meshgym.types import Load, Response, TrafficRules

_APPLY_S = 5.0
_STATS = r"^cluster_manager\.cds\.(version_text|update_rejected)$|outlier_detection\.ejections_(active|enforced_total)$"


class EmbeddedMesh(Mesh):
    """A sidecar Envoy with the given rules in front of a service of limited capacity.

    Everything listens on free ports of 127.0.0.1, lives in a temporary folder and ends with this
    process, however that ends. Several can run at once.

    Args:
        scenario: name, file or :class:`Scenario`; its service profile is used.
        profile: another service profile than the scenario's.

    Raises:
        InvalidValueError: neither gives a service profile.
        MissingDependencyError: no Envoy for this platform.
        MeshStartError: an Envoy did not come up.
    """

    def __init__(self, scenario: str | Path | Scenario = "S1", profile: ServiceProfile | None = None) -> None:
        chosen = profile or load_scenario(scenario).service
        if chosen is None:
            raise InvalidValueError("service", None, "a [service] section in the scenario, or a profile")
        self.profile = chosen
        self._run = 0
        self._envoys = EnvoyGroup()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        folder, profile = self._envoys.folder, self.profile
        self._cds = folder / "cds.json"
        self._cds.write_text(json.dumps({"resources": []}))
        self._certificates = make_certificates(folder) if profile.mtls else None
        admins = self._envoys.start(
            {
                "service": service_bootstrap(profile, self._certificates),
                "sidecar": sidecar_bootstrap(profile, self._cds),
            },
            {"service": 1, "sidecar": profile.proxy_workers},
        )
        ports = admins["service"].ports()
        self._replicas = [ports[name] for name in replica_names(profile)]
        self._sidecar = admins["sidecar"]
        self._client = ClosedLoop(("127.0.0.1", self._sidecar.ports()["outbound"]))

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """See :meth:`Mesh.measure`; every answer is checked to come from these rules and this run."""
        return self.measure_policy(traffic_policy(rules), load)

    def measure_policy(self, policy: dict[str, Any], load: Load) -> Response:
        """As :meth:`measure`, for a DestinationRule's ``trafficPolicy`` as it stands."""
        self._envoys.check()
        started = time.perf_counter()
        try:
            ejected_before = self._apply(policy)
            stamp = f"{RUN_HEADER}: {self._run}\r\n"
            answers = self._client.run(load, {RUN_HEADER: str(self._run)}, stamp.encode())
            if answers.broken == load.calls:
                raise LoadError("not one call was answered; the sidecar's Envoy refuses connections")
            ejections = int(self._stats()["ejections_enforced_total"]) - ejected_before
            self._envoys.check()  # the 503s of a service that died are no answer
        except MeshError:
            self._envoys.check(wait_s=0.2)  # an Envoy that died explains more than what that caused
            raise
        response = _response(answers, load)
        assert isinstance(response.details, dict)
        response.details["ejections"] = ejections
        response.details["overhead_s"] = time.perf_counter() - started - answers.duration_s
        return response

    def _apply(self, policy: dict[str, Any]) -> int:
        """Put the rules in force and wait until Envoy says so; return the ejections counted so far."""
        self._run += 1
        cluster = service_cluster(
            envoy_cluster(policy, CLUSTER), self._replicas, self.profile.replicas, self._run, self._certificates
        )
        version = str(self._run)
        rejected = self._stats()["cds.update_rejected"]
        new = self._cds.with_suffix(".new")
        new.write_text(json.dumps({"version_info": version, "resources": [cluster]}))
        new.replace(self._cds)  # Envoy watches for the rename
        deadline = time.monotonic() + _APPLY_S
        while time.monotonic() < deadline:
            stats = self._stats()
            if stats["cds.version_text"] == version:
                if stats["ejections_active"] != "0":
                    raise MeshError("ejections of an earlier run are left; this is a bug, please report it")
                return int(stats["ejections_enforced_total"])
            if stats["cds.update_rejected"] != rejected:
                reason = self._envoys.log("sidecar").splitlines()[-1].lstrip("}: ")
                raise RulesRefusedError(f"Envoy refused the rules: {reason}")
            time.sleep(0.0005)
        raise MeshError(f"Envoy did not take the rules within {_APPLY_S:g} s")

    def _stats(self) -> dict[str, str]:
        """The watched statistics by the last parts of their names."""
        found = self._sidecar.stats(_STATS)
        short = {name.split("cluster_manager.")[-1].split("outlier_detection.")[-1]: v for name, v in found.items()}
        empty = {"cds.version_text": "", "cds.update_rejected": "0"}
        fresh = {"ejections_active": "0", "ejections_enforced_total": "0"}
        return empty | fresh | {name: value.strip('"') for name, value in short.items()}

    def close(self) -> None:
        """See :meth:`Mesh.close`."""
        self._envoys.close()


def _flag(head: bytes) -> str:
    """Envoy's response flags of an answer, ``-`` where there is none."""
    name = f"{FLAGS_HEADER}: ".encode()
    start = head.find(name)
    return head[start + len(name) :].split(b"\r\n", 1)[0].decode() if start >= 0 else "-"


def _response(answers: Answers, load: Load) -> Response:
    kinds = Counter((head[9:12], _flag(head)) for head in answers.heads)
    total = sum(count for (status, _), count in kinds.items() if status == b"503")
    overflow = sum(count for (_, flag), count in kinds.items() if "UO" in flag)
    no_host = sum(count for (_, flag), count in kinds.items() if "UH" in flag)
    latencies = np.array(answers.latencies_s) * 1000
    p50, p99 = np.percentile(latencies, [50, 99])
    return Response(
        qps=load.calls / answers.duration_s,
        p200=answers.ok / load.calls,
        p503=total / load.calls,
        details={
            "ok": answers.ok,
            "overflow": overflow,
            "no_healthy_host": no_host,
            "upstream_error": total - overflow - no_host,
            "other_error": load.calls - answers.ok - total,
            "latency_p50_ms": float(p50),
            "latency_p99_ms": float(p99),
            "duration_s": answers.duration_s,
        },
    )

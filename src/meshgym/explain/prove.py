"""Show a finding on a real Envoy: the same load under the rule, and under the rule with the field changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshgym.explain.explanation import Explanation, Proof
from meshgym.explain.findings import FINDINGS
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.service.profile import ServiceProfile
from meshgym.types import Load

#: Replicas that can serve the whole load; failing ones serve one request a second and answer 503 to the others.
_SERVICE = ServiceProfile(
    replicas=1, service_time_ms=5, burst=1000, rate_per_s=1000, weakness=1000, mtls=True, proxy_workers=1
)
_THREADS = 16


def prove(explanation: Explanation) -> Explanation:
    """Measure each finding that Envoy can show; return the explanation with its proofs.

    The service has the situation's replicas, of which one, or all where it takes that, answer 503.

    Raises:
        MeshGymError: the embedded mesh doesn't come up, or a run fails.
    """
    situation = explanation.situation
    proofs: dict[str, Proof] = {}
    for failing, count in (("one", 1), ("all", situation.replicas)):
        rows = [FINDINGS[found.code] for found in explanation.findings]
        shown = [(row, row.instead) for row in rows if row.instead and row.failing == failing]
        if not shown:
            continue
        service = replace(_SERVICE, replicas=situation.replicas, weak_replicas=count)
        with EmbeddedMesh(profile=service) as mesh:
            for row, change in shown:
                sides = [_measure(mesh, policy, row.calls) for policy in (situation.policy, change(situation))]
                proofs[row.code] = Proof(row.calls, *sides)
    return replace(explanation, proofs=proofs)


def _measure(mesh: EmbeddedMesh, policy: Mapping[str, Any], calls: int) -> dict[str, float]:
    response = mesh.measure_policy(dict(policy), Load(_THREADS, calls))
    ejections = (response.details or {}).get("ejections", 0)
    return {"p503": float(response.p503), "qps": float(response.qps), "ejections": float(ejections)}

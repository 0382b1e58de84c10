"""Show a finding on a real Envoy: the same load under the rule, and under the rule with the field changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshgym.explain.explanation import Explanation
from meshgym.explain.findings import FINDINGS
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.scenarios import ServiceProfile
from meshgym.types import Load

#: Replicas that can serve the whole load; failing ones serve one request a second and answer 503 to the others.
_SERVICE = ServiceProfile(
    replicas=1, service_time_ms=5, burst=1000, rate_per_s=1000, weakness=1000, mtls=True, proxy_workers=1
)
_LOAD = Load(threads=16, calls=1600)


@dataclass(frozen=True)
class Proof:
    """What an Envoy did with a rule, and with the rule changed.

    Attributes:
        calls: how many were sent, each time.
        with_field, without_field: ``p503``, ``qps`` and ``ejections`` under the rule, and under the changed one.
    """

    calls: int
    with_field: Mapping[str, float]
    without_field: Mapping[str, float]

    def in_words(self) -> str:
        """Return both as a sentence."""
        one, other = (
            f"{side['p503']:.1%} 503s, {side['qps']:.0f} answers/s, {side['ejections']:.0f} ejections"
            for side in (self.with_field, self.without_field)
        )
        return f"Measured with {self.calls} calls: as it is {one}; changed {other}."


def prove(explanation: Explanation) -> dict[str, Proof]:
    """Measure each finding of an explanation that Envoy can show.

    The service has the situation's replicas, of which one, or all where it takes that, answer 503.

    Raises:
        MeshGymError: the embedded mesh doesn't come up, or a run fails.
    """
    situation = explanation.situation
    proofs = {}
    for failing, count in (("one", 1), ("all", situation.replicas)):
        rows = [FINDINGS[found.code] for found in explanation.findings]
        shown = [(row.code, row.instead) for row in rows if row.instead and row.failing == failing]
        if not shown:
            continue
        service = replace(_SERVICE, replicas=situation.replicas, weak_replicas=count)
        with EmbeddedMesh(profile=service) as mesh:
            for code, change in shown:
                sides = [_measure(mesh, policy) for policy in (situation.policy, change(situation))]
                proofs[code] = Proof(_LOAD.calls, *sides)
    return proofs


def _measure(mesh: EmbeddedMesh, policy: Mapping[str, Any]) -> dict[str, float]:
    response = mesh.measure_policy(dict(policy), _LOAD)
    ejections = (response.details or {}).get("ejections", 0)
    return {"p503": float(response.p503), "qps": float(response.qps), "ejections": float(ejections)}

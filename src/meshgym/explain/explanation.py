"""Explain a DestinationRule: what it does in sentences, and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from meshgym.explain.findings import FINDINGS, Row, Severity
from meshgym.explain.situation import Situation
from meshgym.fields import INT32_MAX
from meshgym.rules.destination_rule import Chosen, Manifest, choose
from meshgym.types import TrafficRules

#: Replicas that are meant if nobody says how many.
REPLICAS = 4


@dataclass(frozen=True)
class Finding:
    """Something that the author of a rule may not expect.

    Attributes:
        code: its name for good, such as ``MG101``.
        title: its name in words.
        severity: ``"info"``, ``"warning"`` or ``"error"``.
        field: where it shows, from ``spec`` on.
        reason: what happens, and why.
        remedy: what to do about it.
    """

    code: str
    title: str
    severity: Severity
    field: str
    reason: str
    remedy: str


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


@dataclass(frozen=True)
class Explanation:
    """A rule in words.

    Attributes:
        situation: what was looked at.
        does: what it does, in sentences.
        findings: what its author may not expect, the gravest first.
        proofs: what an Envoy showed, by the finding's code; see :func:`meshgym.explain.prove.prove`.
    """

    situation: Situation
    does: tuple[str, ...]
    findings: tuple[Finding, ...]
    proofs: Mapping[str, Proof] = field(default_factory=dict)


def explain(
    manifest: Manifest,
    *,
    host: str | None = None,
    subset: str | None = None,
    port: int | None = None,
    replicas: int = REPLICAS,
    mesh_default: Mapping[str, Any] | None = None,
) -> list[Explanation]:
    """Explain the rules of a file: the one that is chosen, or all.

    Args:
        manifest: what :func:`meshgym.rules.destination_rule.read_manifest` returned.
        host, subset, port: see :func:`meshgym.rules.destination_rule.choose`. Without any of them, every rule is
            explained, and each of its subsets and ports that has settings of its own.
        replicas: how many the service has.
        mesh_default: the mesh's ``defaultTrafficPolicy``, from Istio 1.31.

    Raises:
        InvalidValueError: no rule, or none that is meant.
        UnknownNameError: no such subset or port.
    """
    if manifest.rules and host is None and subset is None and port is None:
        chosen = [one for rule in manifest.rules for one in _all(Chosen(rule))]
    else:
        chosen = [choose(manifest, host, subset, port)]
    return [_explain(Situation(replace(one, mesh_default=mesh_default or {}), manifest, replicas)) for one in chosen]


def _all(chosen: Chosen) -> list[Chosen]:
    rule = chosen.rule
    subsets = [one["name"] for one in rule.spec.get("subsets", ()) if one.get("trafficPolicy")]
    ports = rule.spec.get("trafficPolicy", {}).get("portLevelSettings", ())
    return [
        chosen,
        *(Chosen(rule, subset=name) for name in subsets),
        *(Chosen(rule, port=one["port"]["number"]) for one in ports),
    ]


def _explain(situation: Situation) -> Explanation:
    rows = [row for row in FINDINGS.values() if row.holds(situation)]
    order = {"error": 0, "warning": 1, "info": 2}
    found = sorted((_finding(row, situation) for row in rows), key=lambda one: (order[one.severity], one.code))
    return Explanation(situation, tuple(_sentences(situation)), tuple(found))


def _finding(row: Row, situation: Situation) -> Finding:
    reason = row.reason(situation)
    return Finding(row.code, row.title, row.severity, f"spec.{row.field}", reason[0].upper() + reason[1:], row.remedy)


def _sentences(situation: Situation) -> list[str]:
    values = situation.values
    return [*_pool(values), *_ejections(situation)]


def _pool(values: TrafficRules) -> list[str]:
    limits = {
        "max_connections": "At most {:g} connections are open to the service.",
        "http1_max_pending_requests": "At most {:g} requests wait for a connection; further ones get a 503 at once.",
        "http2_max_requests": "At most {:g} requests are under way; further ones get a 503 at once.",
        "max_requests_per_connection": "A connection is closed after {:g} requests.",
        "max_retries": "At most {:g} retries are under way.",
    }
    said = [text.format(value) for name, text in limits.items() if (value := getattr(values, name)) < INT32_MAX]
    if values.retry_budget_percent is not None:
        said.append(
            f"Retries under way are at most {values.retry_budget_percent:g} % of the requests, and "
            f"{values.retry_budget_min_concurrency:g} are always allowed."
        )
    return said or ["Nothing limits connections or requests."]


def _ejections(situation: Situation) -> list[str]:
    values = situation.values
    if not situation.ejects:
        return ["No replica is ever ejected."]
    counted = [
        f"{count:g} {errors} in a row"
        for count, errors in (
            (situation.errors, "5xx"),
            (situation.gateway_errors, "502, 503 or 504"),
        )
        if count
    ]
    share = f"{situation.ejectable} of {situation.replicas} replicas ({values.max_ejection_percent:g} %)"
    return [
        f"A replica that answers {' or '.join(counted)} is ejected for {values.base_ejection_time_s:g} s, the second "
        f"time for twice as long, and so on; it comes back at a sweep, every {values.interval_s:g} s.",
        f"At most {share} are ejected at once.",
    ]

"""Explanations as text, JSON and SARIF (2.1.0, which code hosts show beside the lines)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from meshgym.explain.explanation import Explanation
from meshgym.explain.findings import FINDINGS

#: Explanations by the file they are of.
Explained = Mapping[str, Sequence[Explanation]]
_PAGE = "https://github.com/meshgym/meshgym/blob/main/docs/reference/findings.md"
_LEVELS = {"info": "note", "warning": "warning", "error": "error"}


def title(explanation: Explanation) -> str:
    """Name what is explained."""
    chosen = explanation.situation.chosen
    parts = [f"{chosen.rule.title} for {chosen.rule.host}"]
    parts += [f"subset {chosen.subset}"] if chosen.subset else []
    parts += [f"port {chosen.port}"] if chosen.port else []
    return ", ".join(parts)


def to_text(explained: Explained) -> str:
    """Return explanations to read."""
    blocks = []
    for path, explanations in explained.items():
        for explanation in explanations:
            lines = [f"{path}: {title(explanation)}", *(f"  {sentence}" for sentence in explanation.does)]
            for found in explanation.findings:
                lines.append(f"  {found.severity} {found.code} {found.title} ({found.field})")
                lines.append(f"    {found.reason}. {found.remedy}")
                proof = explanation.proofs.get(found.code)
                lines += [f"    {proof.in_words()}"] if proof else []
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def to_json(explained: Explained) -> str:
    """Return explanations as JSON: a list with one object for each policy."""
    documents = []
    for path, explanations in explained.items():
        for explanation in explanations:
            chosen = explanation.situation.chosen
            proved = explanation.proofs
            documents.append(
                {
                    "file": path,
                    "destination_rule": chosen.rule.title,
                    "host": chosen.rule.host,
                    "subset": chosen.subset,
                    "port": chosen.port,
                    "policy": chosen.policy,
                    "does": list(explanation.does),
                    "findings": [
                        asdict(found) | ({"proof": asdict(proved[found.code])} if found.code in proved else {})
                        for found in explanation.findings
                    ],
                }
            )
    return json.dumps(documents, indent=2)


def to_sarif(explained: Explained) -> str:
    """Return the findings as a SARIF log."""
    rules = [
        {
            "id": row.code,
            "name": row.title,
            "shortDescription": {"text": row.title},
            "help": {"text": row.remedy},
            "helpUri": f"{_PAGE}#{row.code.lower()}",
            "defaultConfiguration": {"level": _LEVELS[row.severity]},
        }
        for row in FINDINGS.values()
    ]
    results: list[dict[str, Any]] = [
        {
            "ruleId": found.code,
            "level": _LEVELS[found.severity],
            "message": {"text": f"{title(explanation)}: {found.reason}. {found.remedy}"},
            "locations": [
                {
                    "physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": 1}},
                    "logicalLocations": [{"fullyQualifiedName": found.field}],
                }
            ],
        }
        for path, explanations in explained.items()
        for explanation in explanations
        for found in explanation.findings
    ]
    run = {"tool": {"driver": {"name": "meshgym explain", "rules": rules}}, "results": results}
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2)


FORMATS: dict[str, Callable[[Explained], str]] = {"text": to_text, "json": to_json, "sarif": to_sarif}

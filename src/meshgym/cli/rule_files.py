"""The commands about rule files: explain them, translate them."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from meshgym.errors import FindingsError


def explain(
    files: tuple[Path, ...],
    *,
    host: str | None = None,
    subset: str | None = None,
    port: int | None = None,
    replicas: Annotated[int, Parameter(validator=Number(gte=1, lte=64))] = 4,
    istio: str = "1.31",
    mesh_config: Path | None = None,
    prove: bool = False,
    format: Literal["text", "json", "sarif"] = "text",
    fail_on: Literal["info", "warning", "error", "never"] = "error",
) -> None:
    """Say in plain words what DestinationRules do, and what their authors may not expect.

    Args:
        files: YAML or JSON, as kubectl apply takes them; also BackendTrafficPolicies and Envoy clusters.
        host: only the rule for this host.
        subset: only this subset of it.
        port: only this port of it.
        replicas: how many the service has, 1..64.
        istio: the release that the rules are for.
        mesh_config: file of the mesh's configuration, whose defaultTrafficPolicy holds for what a rule leaves out.
        prove: measure each finding on a real Envoy, with the field and with it changed.
        format: text, json or sarif.
        fail_on: the severity from which findings end the command with exit code 1.
    """
    from meshgym.explain import explanation, output
    from meshgym.explain.findings import SEVERITIES
    from meshgym.explain.prove import prove as measure
    from meshgym.rules.destination_rule import read_mesh_default
    from meshgym.rules.tongues import read_any

    default = read_mesh_default(mesh_config, istio) if mesh_config else {}
    look = partial(explanation.explain, host=host, subset=subset, port=port, replicas=replicas, mesh_default=default)
    explained = {str(file): look(read_any(file, istio)) for file in files}
    if prove:
        explained = {file: list(map(measure, explanations)) for file, explanations in explained.items()}
    print(output.FORMATS[format](explained))
    grave = SEVERITIES[SEVERITIES.index(fail_on) :] if fail_on != "never" else ()
    findings = [finding for explanations in explained.values() for one in explanations for finding in one.findings]
    found = [finding.code for finding in findings if finding.severity in grave]
    if found:
        raise FindingsError(f"{len(found)} findings of severity {fail_on} or above: {', '.join(sorted(set(found)))}")


def translate(
    file: Path,
    *,
    format: Literal["istio", "gateway", "envoy"],
    name: str = "translated",
    namespace: str = "default",
    host: str | None = None,
    subset: str | None = None,
    port: int | None = None,
) -> None:
    """Print rules in another tongue; name on standard error what has no counterpart there.

    Args:
        file: a DestinationRule, a BackendTrafficPolicy of Envoy Gateway, or an Envoy cluster, as YAML or JSON.
        format: istio, gateway (BackendTrafficPolicy) or envoy (cluster).
        name: of the object that is printed.
        namespace: of the object that is printed.
        host: which of the DestinationRules in the file.
        subset: which of its subsets.
        port: which of its ports with settings of their own.
    """
    from meshgym.rules.destination_rule import choose
    from meshgym.rules.tongues import read_any, translate
    from meshgym.rules.yaml_text import to_text

    manifest = read_any(file)
    made = translate(choose(manifest, host, subset, port), format, name, namespace)
    print(to_text(made.document), end="")
    for path in (*manifest.lost, *made.lost):
        print(f"no counterpart: {path}", file=sys.stderr)

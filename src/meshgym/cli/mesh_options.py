"""The command-line options that choose a live mesh, the same for every command that measures."""

from __future__ import annotations

import argparse
from typing import Any

from meshgym.errors import InvalidValueError
from meshgym.mesh.base import Mesh
from meshgym.scenarios import Scenario

#: Options of a cluster that have no default, by the argument of IstioMesh they become.
_NEEDED = {"fortio_url": "--fortio", "target_url": "--target", "sidecar": "--sidecar"}


def add_mesh_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`open_mesh`; without any of them the mesh is the embedded Envoy."""
    group = parser.add_argument_group(
        "a cluster instead of the embedded Envoy", "See docs/live.md; nothing is touched without --destination-rule."
    )
    add = group.add_argument
    add("--destination-rule", metavar="NAMESPACE/NAME", help="the rule that is changed, and put back at the end")
    add("--fortio", dest="fortio_url", metavar="URL", help="of the Fortio server that sends the load")
    add("--target", dest="target_url", metavar="URL", help="what Fortio calls, as seen from its pod")
    add("--sidecar", metavar="URL|NAMESPACE/POD", help="Envoy's admin interface beside Fortio")
    add("--context", help="of the kubeconfig (default: its current one)")
    add("--new-rule-for", metavar="HOST", help="make the rule where there is none, and delete it at the end")
    add("--max-qps", type=float, help="calls a second at most (default: no limit)")
    add("--max-calls", type=int, help="calls in all at most (default: 1000000)")
    add("--max-calls-per-step", type=int, help="calls of a run at most (default: 10000)")
    add("--dry-run", action="store_true", help="print what a run would send, and send nothing")


def cluster_arguments(chosen: argparse.Namespace) -> dict[str, Any] | None:
    """The arguments of ``IstioMesh`` among the parsed options; None where the embedded mesh is meant.

    Raises:
        InvalidValueError: some of a cluster's options are given without the others it needs.
    """
    names = {name: name for name in (*_NEEDED, "context", "max_qps", "max_calls", "max_calls_per_step", "dry_run")}
    options = {name: getattr(chosen, option) for name, option in {**names, "host": "new_rule_for"}.items()}
    # A limit of 0 is one that was given.
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    if not chosen.destination_rule:
        if given:
            need = f"options of a cluster, such as those given, need it: {', '.join(given)}"
            raise InvalidValueError("--destination-rule", None, f"NAMESPACE/NAME; {need}")
        return None
    namespace, _, name = chosen.destination_rule.partition("/")
    if not namespace or not name:
        raise InvalidValueError("--destination-rule", chosen.destination_rule, "NAMESPACE/NAME, both of them")
    missing = [option for argument, option in _NEEDED.items() if argument not in given]
    if missing:
        raise InvalidValueError(", ".join(missing), None, "a value for each, where --destination-rule is given")
    return {"namespace": namespace, "destination_rule": name, **given}


def open_mesh(chosen: argparse.Namespace, scenario: Scenario) -> Mesh:
    """The mesh that the options of :func:`add_mesh_arguments` choose; a context manager.

    Args:
        chosen: the parsed options.
        scenario: whose service the embedded mesh puts under test.

    Raises:
        MeshGymError: the mesh does not come up, or an option will not do.
    """
    cluster = cluster_arguments(chosen)
    if cluster is None:
        from meshgym.mesh.embedded.mesh import EmbeddedMesh  # needs packages that other commands do without

        return EmbeddedMesh(scenario)
    from meshgym.mesh.cluster.mesh import IstioMesh

    return IstioMesh(**cluster)

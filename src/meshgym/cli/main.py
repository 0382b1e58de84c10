"""The ``meshgym`` command: collect traces, fit simulators, show scenarios, check the machine."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from meshgym.cli.console import Command, Console, Count, Seed, Several, run
from meshgym.cli.fitting import coverage, fit, table4
from meshgym.cli.imports import import_
from meshgym.cli.mesh_options import ClusterOptions, Lanes, open_copies, open_mesh
from meshgym.cli.planning import PlanOptions, plan
from meshgym.cli.ramp import ramp
from meshgym.cli.rule_files import explain, translate
from meshgym.cli.sequences import sequences
from meshgym.errors import IncompleteError, MeshError, MeshGymError, clean
from meshgym.files import make_folder
from meshgym.rules.policy import find, paths
from meshgym.scenarios import SCENARIO_NAMES, Scenario, load_scenario


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    about = "Collect traces of a service in a mesh, fit simulators to them, and check that a mesh can be measured."
    commands: list[Command] = [
        doctor,
        status,
        explain,
        translate,
        plan,
        collect,
        sequences,
        import_,
        pack,
        unpack,
        traces,
        fit,
        coverage,
        table4,
        ramp,
        scenarios,
    ]
    return run("meshgym", about, commands, arguments)


def doctor(
    *,
    restore: Annotated[list[str] | None, Several] = None,
    force: bool = False,
    scenario: str = "S1",
    cluster: ClusterOptions | None = None,
) -> None:
    """Check that the mesh can be measured, or give back what a killed run left on loan in a cluster.

    Args:
        restore: give back these DestinationRules, as NAMESPACE/NAME or as the journal of an earlier run (default: those
            of all journals).
        force: give them back even over somebody else's change.
        scenario: S1..S5 or a .toml file, whose sidecar is compared with the cluster's.
    """
    from meshgym.cli import doctor

    if restore is not None:
        _report(doctor.restore(restore, force), "", "", "of the loans are not given back")
    else:
        chosen = load_scenario(scenario)
        if cluster and not cluster.embedded:
            findings = doctor.check_cluster(cluster.arguments(), chosen)
        else:
            findings = doctor.check_embedded(chosen, cluster)
        _report(findings, "ok: ", "missing: ", "of the checks above failed")


def status(*, namespace: Annotated[list[str] | None, Several] = None, kube_context: str | None = None) -> None:
    """Tell which DestinationRules of a cluster are on loan, to whom and since when.

    Args:
        namespace: where to look (default: in all namespaces).
        kube_context: context of the kubeconfig (default: its current one).
    """
    from meshgym.cli import doctor

    _report(doctor.status(namespace or [], kube_context), "", "", "of the questions got no answer")


def _report(findings: Iterable[str | MeshGymError], good: str, bad: str, failure: str) -> None:
    """Print findings, each after ``good`` or ``bad``; end with ``failure`` if one of them is an error."""
    failed = 0
    for finding in findings:
        if isinstance(finding, MeshGymError):
            failed += 1
            print(f"{bad}{finding}", file=sys.stderr)
        else:
            print(f"{good}{finding}")
    if failed:
        raise MeshError(f"{failed} {failure}")


def collect(
    *,
    scenario: str = "S1",
    rows: Count | None = None,
    plan: PlanOptions | None = None,
    seed: Seed = 0,
    lanes: Lanes = 1,
    out: Path | None = None,
    cluster: ClusterOptions | None = None,
    console: Console,
) -> None:
    """Run a plan of rules and loads on the embedded Envoy or in a cluster.

    Args:
        scenario: S1..S5 or a .toml file.
        rows: runs in the plan (default: the scenario's).
        seed: seed of the plan.
        lanes: settings that the embedded mesh measures at once, 1..64.
        out: folder (default: collections/SCENARIO). A collection begun in it goes on.
    """
    from meshgym.traces.collect import collect
    from meshgym.traces.collection import read_about, read_given_up

    chosen = load_scenario(scenario)
    planner = plan.planner(chosen, rows, seed) if plan else None
    folder = make_folder(out or Path("collections") / chosen.name)
    # The embedded mesh has lanes; in a cluster there is one service to load, or copies of it.
    copies = open_copies(cluster, chosen) if cluster and cluster.copies else None
    opened = open_mesh(cluster, chosen) if cluster and not copies else nullcontext()
    with opened as mesh, console.bar(f"collect {chosen.name}", "runs") as progress:
        path = collect(
            chosen,
            folder,
            rows=rows,
            planner=planner,
            seed=seed,
            lanes=lanes,
            mesh=mesh,
            copies=copies,
            progress=progress,
        )
    console.record(folder)
    print(path)
    about = read_about(path)
    if about.get("regret") is not None:
        print(f"by these {about['rows']} runs, the goal's regret is at most {about['regret']:.3f} (95 %)")
    if given_up := read_given_up(path):
        named = ", ".join(map(str, list(given_up)[:20])) + (", ..." if len(given_up) > 20 else "")
        reasons = clean("; ".join(sorted(set(given_up.values()))))
        raise IncompleteError(
            f"{len(given_up)} of {about['rows']} runs of {path} failed each time and were given up ({named}): "
            f"{reasons}. The same command tries them again"
        )


def pack(folder: Path, file: Path) -> None:
    """Turn a collection into one table, with its provenance as JSON.

    Args:
        folder: folder of a collection.
        file: file to write; ends in .parquet or .csv.
    """
    from meshgym.traces.pack import pack

    print(pack(folder, file))


def unpack(set: str, folder: Path, *, scenario: str | None = None) -> None:
    """Turn a packed set into a collection that meshgym collect continues.

    Args:
        set: name of a bundled set, or a file that meshgym pack wrote.
        folder: folder to make; give it to meshgym collect --out.
        scenario: the set's .toml file, if it isn't one of S1..S5.
    """
    from meshgym.traces.pack import unpack

    print(unpack(set, folder, scenario))


def traces(sets: tuple[str, ...] = SCENARIO_NAMES) -> None:
    """Assess trace sets: balance, noise, effects, order.

    Args:
        sets: names of bundled sets, or files.
    """
    from meshgym.traces.quality import assess
    from meshgym.traces.store import load_traces

    for name in sets:
        print(f"{name}\n{assess(load_traces(name))}")


def scenarios(name: str | None = None) -> None:
    """List the scenarios, or show one.

    Args:
        name: S1..S5 or a .toml file (default: all).
    """
    for one in [name] if name else SCENARIO_NAMES:
        print(describe(load_scenario(one)))


def describe(scenario: Scenario) -> str:
    """Return a scenario's ranges, actions and service as text."""
    lines = [f"{scenario.name} ({scenario.rows} rows)"]
    for name, span in scenario.ranges.items():
        values = f"{span.low:g}" if span.low == span.high else f"{span.low:g}..{span.high:g}"
        lines.append(f"  {name:<28} {values}")
    lines += [f"  base: {path:<22} {find(scenario.base, path)}" for path in paths(scenario.base)]
    lines += [f"  actions: {name:<19} {', '.join(map(str, values))}" for name, values in scenario.actions.items()]
    lines.append(f"  service: {scenario.service or 'none'}")
    return "\n".join(lines)

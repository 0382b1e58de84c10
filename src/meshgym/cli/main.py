"""The meshgym command: collect traces, fit simulators, look at scenarios, check the machine."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from meshgym.cli.console import make_parser, progress_bar, run
from meshgym.cli.mesh_options import add_mesh_arguments, cluster_arguments, open_mesh
from meshgym.errors import MeshError, MeshGymError
from meshgym.files import make_folder
from meshgym.scenarios import SCENARIO_NAMES, Scenario, load_scenario


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser, commands = make_parser("meshgym", __doc__)

    command = commands.add_parser("collect", help="run a plan of rules and loads on the embedded Envoy or a cluster")
    _add_scenario(command)
    command.add_argument("--rows", type=int, help="runs in the plan (default: the scenario's)")
    command.add_argument("--seed", type=int, default=0, help="of the plan (default: 0)")
    command.add_argument("--lanes", type=int, default=1, help="settings that are measured side by side (default: 1)")
    command.add_argument("--out", type=Path, help="folder (default: collections/SCENARIO); goes on if begun")
    add_mesh_arguments(command)
    command.set_defaults(function=_collect)

    command = commands.add_parser("pack", help="a collection as one Parquet file with a data card")
    command.add_argument("folder", type=Path, help="of meshgym collect")
    command.add_argument("file", type=Path, help="ends in .parquet")
    command.set_defaults(function=_pack)

    command = commands.add_parser("unpack", help="a packed set as a collection that meshgym collect goes on with")
    command.add_argument("set", help="name of a bundled set, or a .parquet file")
    command.add_argument("folder", type=Path, help="for meshgym collect --out")
    command.set_defaults(function=_unpack)

    command = commands.add_parser("traces", help="assess trace sets: balance, noise, effects, order")
    command.add_argument("sets", nargs="*", default=SCENARIO_NAMES, help="names or files (default: the bundled sets)")
    command.set_defaults(function=_traces)

    command = commands.add_parser("fit", help="train a simulator on traces")
    _add_scenario(command)
    command.add_argument("--traces", default=None, help="CSV or Parquet file (default: the bundled set)")
    command.add_argument("--seed", type=int, default=0, help="of split and training (default: 0)")
    command.add_argument("--out", type=Path, help="file (default: simulators/SCENARIO.npz)")
    command.set_defaults(function=_fit)

    command = commands.add_parser("table4", help="fit every model to trace sets and compare them")
    command.add_argument("sets", nargs="*", default=SCENARIO_NAMES, help="names or files (default: the bundled sets)")
    command.add_argument("--authors", action="store_true", help="the sets are the authors' own files, e.g. S1.csv.gz")
    command.add_argument("--seeds", type=int, default=3, help="splits and trainings of each (default: 3)")
    command.add_argument(
        "--split",
        choices=["settings", "blocks"],
        nargs="+",
        default=["settings"],
        help="what the test part is drawn by: settings, or blocks of successive runs (default: settings)",
    )
    command.add_argument("--jobs", type=int, default=2, help="processes side by side (default: 2)")
    command.add_argument("--out", type=Path, default=Path("table4"), help="folder (default: table4)")
    command.set_defaults(function=_table4)

    command = commands.add_parser("scenarios", help="list the scenarios, or show one")
    command.add_argument("name", nargs="?", help=f"{', '.join(SCENARIO_NAMES)} or a .toml file")
    command.set_defaults(function=_scenarios)

    command = commands.add_parser("doctor", help="check that the mesh can be measured; put back what was not")
    add_mesh_arguments(command)
    command.add_argument(
        "--restore",
        nargs="*",
        type=Path,
        metavar="JOURNAL",
        help="put back the rules of runs that were killed, as these journals (default: all) remember them",
    )
    command.set_defaults(function=_doctor)
    return parser


def _add_scenario(command: argparse.ArgumentParser) -> None:
    names = ", ".join(SCENARIO_NAMES)
    command.add_argument("--scenario", default="S1", help=f"{names} or a .toml file (default: S1)")


def _collect(chosen: argparse.Namespace) -> None:
    from meshgym.traces.collect import collect

    scenario = load_scenario(chosen.scenario)
    folder = make_folder(chosen.out or Path("collections") / scenario.name)
    plan = {"rows": chosen.rows, "seed": chosen.seed, "lanes": chosen.lanes}
    # The embedded mesh has lanes; in a cluster there is one service to load.
    cluster = open_mesh(chosen, scenario) if cluster_arguments(chosen) else nullcontext()
    with cluster as mesh, progress_bar(f"collect {scenario.name}", "runs") as progress:
        rows = collect(scenario, folder, mesh=mesh, progress=progress, **plan)
    print(rows)


def _pack(chosen: argparse.Namespace) -> None:
    from meshgym.traces.pack import pack

    print(pack(chosen.folder, chosen.file))


def _unpack(chosen: argparse.Namespace) -> None:
    from meshgym.traces.pack import unpack

    print(unpack(chosen.set, chosen.folder))


def _traces(chosen: argparse.Namespace) -> None:
    from meshgym.traces.quality import assess
    from meshgym.traces.store import load_traces

    for name in chosen.sets:
        print(f"{name}\n{assess(load_traces(name))}")


def _fit(chosen: argparse.Namespace) -> None:
    from meshgym.simulator.training import fit_simulator
    from meshgym.traces.store import load_traces

    scenario = load_scenario(chosen.scenario)
    path = chosen.out or Path("simulators") / f"{scenario.name}.npz"
    make_folder(path.parent)
    frame = load_traces(chosen.traces or scenario.name)
    with progress_bar(f"fit {scenario.name}") as progress:
        simulator = fit_simulator(frame, scenario, seed=chosen.seed, progress=progress)
    simulator.save(path)
    for name, value in simulator.identity.metrics.items():
        print(f"{name:<24}{value:.4g}")
    print(path)


def _table4(chosen: argparse.Namespace) -> None:
    from meshgym.simulator import table4
    from meshgym.traces.authors import load_authors_traces
    from meshgym.traces.store import load_traces

    load = load_authors_traces if chosen.authors else load_traces
    traces = {Path(name).name.split(".")[0]: load(name) for name in chosen.sets}
    folder = make_folder(chosen.out)
    with progress_bar("table 4", "fits") as progress:
        table = table4.run(traces, seeds=range(chosen.seeds), splits=chosen.split, jobs=chosen.jobs, progress=progress)
    for path in table4.save(table, folder):
        print(path)
    print(table4.to_markdown(table.scores))


def _scenarios(chosen: argparse.Namespace) -> None:
    for name in [chosen.name] if chosen.name else SCENARIO_NAMES:
        print(describe(load_scenario(name)))


def describe(scenario: Scenario) -> str:
    """A scenario's ranges, actions and service as text."""
    lines = [f"{scenario.name} ({scenario.rows} rows)"]
    for name, span in scenario.ranges.items():
        values = f"{span.low:g}" if span.low == span.high else f"{span.low:g}..{span.high:g}"
        lines.append(f"  {name:<28} {values}")
    lines += [f"  actions: {name:<19} {', '.join(map(str, values))}" for name, values in scenario.actions.items()]
    lines.append(f"  service: {scenario.service or 'none'}")
    return "\n".join(lines)


def _doctor(chosen: argparse.Namespace) -> None:
    from meshgym.cli import doctor

    cluster = cluster_arguments(chosen)
    if chosen.restore is not None:
        findings = doctor.restore(chosen.restore)
    else:
        findings = doctor.check_embedded() if cluster is None else doctor.check_cluster(cluster)
    failed = 0
    for finding in findings:
        if isinstance(finding, MeshGymError):
            failed += 1
            print(f"missing: {finding}", file=sys.stderr)
        else:
            print(f"ok: {finding}")
    if failed:
        raise MeshError(f"not all is as it must be ({failed} of the lines above)")


if __name__ == "__main__":
    raise SystemExit(main())

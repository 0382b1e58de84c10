"""The command that finds where a service breaks."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from cyclopts import Parameter
from cyclopts.validators import Number

from meshgym.cli.console import Console, Count, Several
from meshgym.cli.mesh_options import ClusterOptions, open_mesh
from meshgym.errors import MeshError, SloError
from meshgym.files import make_folder
from meshgym.rules.destination_rule import choose, read_file
from meshgym.rules.policy import given_rules
from meshgym.scenarios import load_scenario
from meshgym.service.own import OwnService

_Above = Parameter(validator=Number(gt=0))


def ramp(
    scenario: str = "S1",
    *,
    url: Annotated[tuple[str, ...], Several] = (),
    slo: Annotated[tuple[str, ...], Several],
    rules: Path | None = None,
    pace: Literal["rate", "threads"] = "rate",
    low: Annotated[float, _Above, Parameter(name="--from")] = 10,
    high: Annotated[float, _Above, Parameter(name="--to")] = 1000,
    seconds: Annotated[float, _Above] = 2.0,
    calls: Count = 1000,
    runs: Count = 20,
    within: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] = 0.05,
    at_least: Annotated[float, _Above] | None = None,
    out: Path | None = None,
    cluster: ClusterOptions | None = None,
    console: Console,
) -> None:
    """Raise the load until objectives break, and find the edge; exit code 1 if it lies below --at-least.

    Args:
        scenario: S1..S5 or a .toml file, whose service is measured.
        url: of a service of your own that is measured instead, with plain GETs; several are its replicas.
        slo: objectives, such as "p99<200ms" and "success>99.9%"; k6's form is understood, too.
        rules: a DestinationRule's file (default: the scenario's base).
        pace: what is raised: the rate of an open loop in calls per second, or the threads of a closed one.
        low: the first pace.
        high: the highest pace.
        seconds: how long a run of an open loop takes; longer where it had too few calls for a percentile.
        calls: calls of a run of a closed loop.
        runs: the most runs.
        within: end once both sides of the edge are so near, as a share of the pace.
        at_least: the pace at which the objectives must be kept.
        out: folder for ramp.html, .json, .svg and .txt (default: ramps/SCENARIO, or ramps/HOST of a URL).
    """
    from meshgym.slo import output
    from meshgym.slo.objective import least_calls, read_slo
    from meshgym.slo.ramp import closed_loop, open_loop, ramp

    chosen, objectives = load_scenario(scenario), read_slo(slo)
    if url:
        chosen = replace(chosen, name=urlsplit(url[0]).hostname or "", service=OwnService(url=url), base={})
    policy = choose(read_file(rules)).policy if rules else dict(chosen.base)
    folder = make_folder(out or Path("ramps") / chosen.name)
    unit = "calls/s" if pace == "rate" else "threads"
    least = least_calls(objectives)
    load_at = partial(open_loop, seconds, least) if pace == "rate" else partial(closed_loop, max(calls, least))
    whole = pace == "threads"
    with (
        open_mesh(cluster, replace(chosen, rules={}, base=policy)) as mesh,
        console.bar("ramp", "runs") as progress,
    ):
        measure, versions = partial(mesh.measure, given_rules(policy)), mesh.versions()
        ends = (round(low), round(high)) if whole else (low, high)
        found = ramp(measure, objectives, load_at, *ends, runs=runs, within=within, whole=whole, progress=progress)
    console.record(folder)
    about = {
        "service": ", ".join(url) or scenario,
        "rules": f"{rules}: {json.dumps(policy)}" if rules else json.dumps(policy) if policy else "none",
        "measured with": ", ".join(f"{name} {value}" for name, value in versions.items()),
    }
    paths = output.write(found, unit, folder, about)
    print("\n".join([output.to_text(found, unit), *map(str, paths)]))
    if found.failed:
        raise MeshError(f"a run failed, and the ramp ended before its time: {found.failed}")
    if at_least is not None and (found.kept or 0) < at_least:
        raise SloError(f"{output.edge(found, unit)} It must be kept at {at_least:g} {unit}")

"""Turn a collection into a trace set that can be passed on, and back into a collection."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meshgym.errors import TraceError
from meshgym.fields import settings_among
from meshgym.scenarios import load_scenario
from meshgym.traces.collection import FILENAME, begun, create, read_about
from meshgym.traces.plan import Plan, make_plan
from meshgym.traces.quality import assess
from meshgym.traces.sequences import plan_sequences
from meshgym.traces.store import load_traces, read_provenance, write_traces

if TYPE_CHECKING:
    import pandas as pd

LICENCE = "CC-BY-4.0"
_EMBEDDED = {
    "taken": "meshgym collect, or meshgym sequences, on the embedded mesh: docs/explanation/embedded-mesh.md",
    "known_limits": "one machine, loopback network, a service without an application behind it; "
    "rates depend on the machine, whose pace drifts a little during a collection",
}
_CLUSTER = {
    "taken": "meshgym collect in a cluster: docs/how-to/cluster.md",
    "known_limits": "the service's own state isn't reset between runs; rates depend on the cluster",
}
#: What a packed set takes from a collection, and gives back to it.
_KEPT = (
    "scenario",
    "seed",
    "plan_sha256",
    "service",
    "versions",
    "later_versions",
    "base",
    "adaptive",
    "regret",
    "control",
)


def pack(folder: Path, path: Path) -> Path:
    """Write the complete rows of a collection, in the order in which they were measured.

    Args:
        folder: of ``meshgym collect``.
        path: ends in ``.parquet`` or ``.csv``; the provenance gets the same name with ``.json``.

    Raises:
        TraceError: the folder holds no collection, or rows that don't fit the schema.
        FolderError: the files can't be written.
    """
    source = folder / FILENAME
    if not begun(source):
        raise TraceError(f"{folder} holds no collection; make one with: meshgym collect")
    about = read_about(source)
    frame = load_traces(source)
    quality = assess(frame)
    provenance = {
        **{name: about[name] for name in _KEPT if name in about},
        "planned_rows": about["rows"],
        "licence": LICENCE,
        **(_CLUSTER if "destination_rule" in (about["service"] or {}) else _EMBEDDED),
        "machine": f"{platform.system()} {platform.machine()}",
        "lanes": int(frame["lane"].nunique()),
        "noise_share": quality.noise,
        "residual_autocorrelation": quality.residual_autocorrelation,
        "repeats": quality.repeats,
    }
    return write_traces(frame, path, provenance)


def unpack(traces: str | Path, folder: Path, scenario: str | Path | None = None) -> Path:
    """Turn a packed set into a collection that ``meshgym collect`` can continue.

    Runs that had been given up are tried again.

    Args:
        traces: name of a bundled set, or a file made by :func:`pack`.
        folder: made if it doesn't exist; must not hold a collection.
        scenario: file of the set's scenario; None for the bundled one of the name in the provenance.

    Raises:
        TraceError: a set without its provenance, or of another scenario, or a folder that holds a collection.
        FolderError: the folder can't be written.
    """
    frame, provenance = load_traces(traces), read_provenance(traces)
    if provenance is None or "plan_sha256" not in provenance:
        raise TraceError(f"{traces} has no provenance that names its plan; only sets made by meshgym pack have one")
    path = folder / FILENAME
    if begun(path):
        raise TraceError(f"{folder} already holds a collection; choose another folder")
    about = {name: provenance[name] for name in _KEPT if name in provenance} | {"rows": provenance["planned_rows"]}
    chosen = load_scenario(scenario or about["scenario"])
    if "adaptive" in about:
        plan = _asked(frame)
    elif "control" in about:
        plan = plan_sequences(chosen, about["rows"] // about["control"]["intervals"], about["seed"])
    else:
        plan = make_plan(chosen, about["rows"], about["seed"])
    if plan.sha256 != about["plan_sha256"]:
        raise TraceError(f"{traces} has another plan than the scenario {chosen.name} gives, or lacks some of its runs")
    create(path, about, plan, frame.to_dict("records"))
    return folder


def _asked(frame: pd.DataFrame) -> Plan:
    """Return the plan of a collection that was asked for as it went on, if no run is missing."""
    frame, names = frame.sort_values("run"), settings_among(frame)
    settings = np.ascontiguousarray(frame[list(names)].to_numpy(np.float64))
    return Plan(settings, frame["repeat"].to_numpy(np.int64), names, frame["asked"].to_numpy(np.int64))

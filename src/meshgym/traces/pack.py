"""A collection as a trace set that can be passed on (Parquet, and a data card beside it), and back again."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from meshgym.errors import FolderError, TraceError
from meshgym.traces.quality import assess
from meshgym.traces.schema import COLUMNS
from meshgym.traces.store import load_traces, read_card, write_traces

LICENCE = "CC-BY-4.0"
_EMBEDDED = {
    "taken": "meshgym collect on the embedded mesh: docs/explanation/embedded-mesh.md",
    "known_limits": "one machine, loopback network, a service without an application behind it; "
    "rates depend on the machine, whose pace drifts a little while a set is taken",
}
_CLUSTER = {
    "taken": "meshgym collect in a cluster: docs/how-to/cluster.md",
    "known_limits": "the service's own state is not reset between runs; rates depend on the cluster",
}


def pack(folder: Path, path: Path) -> Path:
    """Write the complete rows of a collection, in the order they were measured.

    Args:
        folder: of ``meshgym collect``.
        path: ends in ``.parquet``; the card gets the same name with ``.json``.

    Raises:
        TraceError: no collection, or rows that do not fit the schema.
        FolderError: the files cannot be written.
    """
    try:
        about: dict[str, Any] = json.loads((folder / "collection.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TraceError(f"{folder} holds no collection ({error}); make one with: meshgym collect") from error
    frame = load_traces(folder / "rows.csv")
    quality = assess(frame)
    card = {
        "scenario": about["scenario"],
        "licence": LICENCE,
        **(_CLUSTER if "destination_rule" in (about["service"] or {}) else _EMBEDDED),
        "planned_rows": about["rows"],
        "seed": about["seed"],
        "plan_sha256": about["plan_sha256"],
        "service": about["service"],
        "versions": about["versions"],
        "machine": f"{platform.system()} {platform.machine()}",
        "lanes": int(frame["lane"].nunique()),
        "noise_share": quality.noise,
        "residual_autocorrelation": quality.residual_autocorrelation,
        "repeats": quality.repeats,
    }
    return write_traces(frame, path, card)


def unpack(traces: str | Path, folder: Path) -> Path:
    """Make a packed set a collection again, so that ``meshgym collect`` can go on with its plan.

    Runs that had been given up are tried again.

    Args:
        traces: name of a bundled set, or a ``.parquet`` file made by :func:`pack`.
        folder: made if need be; holds no collection yet.

    Raises:
        TraceError: a set without its card, or a folder that holds a collection.
        FolderError: the folder cannot be written.
    """
    frame, card = load_traces(traces), read_card(traces)
    if card is None or "plan_sha256" not in card:
        raise TraceError(f"{traces} has no card that says which plan it is of; only sets made by meshgym pack have one")
    rows = folder / "rows.csv"
    if rows.exists():
        raise TraceError(f"{folder} holds a collection already; choose another folder")
    about = {name: card[name] for name in ("scenario", "seed", "plan_sha256", "service", "versions")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        frame.reindex(columns=list(COLUMNS)).to_csv(rows, index=False)
        (folder / "collection.json").write_text(json.dumps({**about, "rows": card["planned_rows"]}, indent=2) + "\n")
    except OSError as error:
        raise FolderError(f"cannot write to {folder} ({error}); choose another folder") from error
    return folder

"""Makes a trace set that can be passed on out of a collection: Parquet, and a data card beside it."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from meshgym.errors import TraceError
from meshgym.traces.quality import assess
from meshgym.traces.store import load_traces, write_traces

LICENCE = "CC-BY-4.0"


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
        "taken": "meshgym collect on the embedded mesh: docs/embedded-mesh.md",
        "planned_rows": about["rows"],
        "seed": about["seed"],
        "plan_sha256": about["plan_sha256"],
        "service": about["service"],
        "versions": about["versions"],
        "machine": f"{platform.system()} {platform.machine()}",
        "lanes": int(frame["lane"].nunique()),
        "noise_share": quality.noise,
        "repeats": quality.repeats,
        "known_limits": "one machine, loopback network, a service without an application behind it; "
        "rates depend on the machine",
    }
    return write_traces(frame, path, card)

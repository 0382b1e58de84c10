"""A ramp as text, as JSON and as a figure."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

from meshgym.errors import MissingDependencyError
from meshgym.files import to_json, write_together
from meshgym.mesh.load.latency import PERCENTILES
from meshgym.slo.objective import Objective
from meshgym.slo.ramp import Ramp

_LATENCIES = {name: f"p{rank}" for name, rank in PERCENTILES.items()}


def edge(ramp: Ramp, unit: str) -> str:
    """Return in a sentence where the edge is."""
    slo = ", ".join(objective.text for objective in ramp.objectives)
    if ramp.kept is None:
        first = f"{ramp.broken:g}" if ramp.broken is not None else "no pace that was measured"
        return f"{slo}: not kept, already at {first} {unit}."
    if ramp.broken is None:
        return f"{slo}: kept up to {ramp.kept:.4g} {unit}, the highest pace that was measured."
    return f"{slo}: kept up to {ramp.kept:.4g} {unit}, and broken at {ramp.broken:.4g} {unit}."


def to_text(ramp: Ramp, unit: str) -> str:
    """Return the runs in a table, by pace, and the edge in a sentence."""
    lines = [f"{unit:>12}{'answers/s':>12}{'success':>10}{'p50':>10}{'p90':>10}{'p99':>10}   kept"]
    for run in sorted(ramp.runs, key=lambda run: run.pace):
        details = run.response.details or {}
        latencies = "".join(f"{_milliseconds(details.get(name, math.nan)):>10}" for name in _LATENCIES)
        broken = [objective.text for objective in ramp.objectives if objective.margin(run.response) < 0]
        lines.append(
            f"{run.pace:>12.4g}{run.response.qps:>12.1f}{run.response.p200:>10.2%}{latencies}   "
            + (f"no: {', '.join(broken)}" if broken else "yes")
        )
    return "\n".join([*lines, edge(ramp, unit)])


def _milliseconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{1000 * seconds:.1f} ms"


def to_dict(ramp: Ramp, unit: str) -> dict[str, Any]:
    """Return the ramp as plain values for JSON."""
    return {
        "objectives": [vars(objective) for objective in ramp.objectives],
        "pace": unit,
        "kept": ramp.kept,
        "broken": ramp.broken,
        "runs": [{"load": run.load.to_dict(), "kept": run.margin >= 0, **run.response.to_dict()} for run in ramp.runs],
    }


def write(ramp: Ramp, unit: str, folder: Path) -> list[Path]:
    """Write ``ramp.json``, ``ramp.txt`` and ``ramp.svg``; return their paths.

    Raises:
        FolderError: a file can't be written.
        MissingDependencyError: Matplotlib isn't installed.
    """
    text = to_text(ramp, unit)
    return write_together(
        {
            folder / "ramp.svg": figure(ramp, unit),
            folder / "ramp.txt": f"{text}\n".encode(),
            folder / "ramp.json": to_json(to_dict(ramp, unit)),
        }
    )


def figure(ramp: Ramp, unit: str) -> bytes:
    """Draw success and latencies over the pace, the objectives as lines, the edge as a band; return an SVG."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import StrMethodFormatter
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "drawing a ramp", "simulator") from error
    runs = sorted(ramp.runs, key=lambda run: run.pace)
    paces = [run.pace for run in runs]
    drawing = Figure(figsize=(7, 5), layout="constrained")
    above, below = drawing.subplots(2, 1, sharex=True)
    above.plot(paces, [100 * run.response.p200 for run in runs], "o-", color="tab:green", label="success")
    for name, label in _LATENCIES.items():
        values = [1000 * (run.response.details or {}).get(name, math.nan) for run in runs]
        below.plot(paces, values, "o-", label=label)
    for objective in ramp.objectives:
        _line(objective, above, below)
    for axes in (above, below):
        axes.legend(loc="best", fontsize="small")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
        if ramp.kept is not None and ramp.broken is not None:
            axes.axvspan(ramp.kept, ramp.broken, color="tab:red", alpha=0.25)
    above.set_ylabel("success (%)")
    above.set_title(edge(ramp, unit), fontsize="small")
    below.set(xlabel=unit, ylabel="latency of the 200s (ms)")
    rendered = io.BytesIO()
    drawing.savefig(rendered, format="svg")
    return rendered.getvalue()


def _line(objective: Objective, above: Any, below: Any) -> None:
    if objective.outcome in _LATENCIES:
        below.axhline(1000 * objective.bound, linestyle="--", color="gray", label=objective.text)
    elif objective.outcome == "p200":
        above.axhline(100 * objective.bound, linestyle="--", color="gray", label=objective.text)

"""A ramp as text, as JSON, as a figure and as a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshgym.files import to_json, write_together
from meshgym.mesh.load.latency import PERCENTILES
from meshgym.pages.figures import LIGHT, draw, standalone
from meshgym.pages.page import Section, to_html
from meshgym.slo.objective import Objective
from meshgym.slo.ramp import Ramp

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_LATENCIES = {name: f"p{rank}" for name, rank in PERCENTILES.items()}
#: Colours of the percentiles.
LATENCY_COLOURS = dict(zip(_LATENCIES, (LIGHT["accent"], LIGHT["warm"], LIGHT["deep"]), strict=True))


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
        "failed": ramp.failed,
        "runs": [{"load": run.load.to_dict(), "kept": run.margin >= 0, **run.response.to_dict()} for run in ramp.runs],
    }


def write(ramp: Ramp, unit: str, folder: Path, about: Mapping[str, str]) -> list[Path]:
    """Write ``ramp.html``, ``ramp.json``, ``ramp.svg`` and ``ramp.txt``; return their paths.

    Args:
        ramp: what was found.
        unit: of its paces.
        folder: an existing one.
        about: what was measured, by its headings.

    Raises:
        FolderError: a file can't be written.
        MissingDependencyError: Matplotlib or jinja2 isn't installed.
    """
    svg = draw((6, 5.2), lambda figure: _paint(figure, ramp, unit))
    caption = (
        f"Success and latencies over {unit}: points are runs. The dashed lines are objectives; "
        "the edge lies in the red band."
    )
    section = Section("Where it breaks", [edge(ramp, unit)], [(caption, svg), ("All runs", _table(ramp, unit))])
    page = to_html(
        "How much load does it take?", [section, Section("What was measured", [], [("Service and rules", dict(about))])]
    )
    return write_together(
        {
            folder / "ramp.html": page.encode(),
            folder / "ramp.svg": standalone(svg),
            folder / "ramp.txt": f"{to_text(ramp, unit)}\n".encode(),
            folder / "ramp.json": to_json(to_dict(ramp, unit)),
        }
    )


def _paint(figure: Figure, ramp: Ramp, unit: str) -> None:
    """Draw success and latencies over the pace, the objectives as lines, the edge as a band."""
    runs = sorted(ramp.runs, key=lambda run: run.pace)
    paces = [run.pace for run in runs]
    above, below = figure.subplots(2, 1, sharex=True)
    _points(above, paces, [100 * run.response.p200 for run in runs], LIGHT["good"], "success")
    for name, label in _LATENCIES.items():
        values = [1000 * (run.response.details or {}).get(name, math.nan) for run in runs]
        _points(below, paces, values, LATENCY_COLOURS[name], label)
    objective_lines(ramp.objectives, above, below)
    for axes in (above, below):
        axes.legend(loc="best")
        axes.set_xscale("log")
        plain_numbers(axes, paces)
        if ramp.kept is not None and ramp.broken is not None:
            axes.axvspan(ramp.kept, ramp.broken, color=LIGHT["bad"], alpha=0.3, linewidth=0)
    above.set_ylabel("success (%)")
    below.set(xlabel=unit, ylabel="latency of the 200s (ms)")


def _points(axes: Any, paces: Sequence[float], values: Sequence[float], colour: str, label: str) -> None:
    """Draw a point for each run, and a line through the means at each pace."""
    axes.plot(paces, values, "o", color=colour)
    at: dict[float, list[float]] = {}
    for pace, value in zip(paces, values, strict=True):
        at.setdefault(pace, []).append(value)
    axes.plot(list(at), [sum(each) / len(each) for each in at.values()], color=colour, label=label)


def objective_lines(objectives: Sequence[Objective], success: Any, latency: Any) -> None:
    """Draw objectives as lines into the axes of success (in %) and of latency (in ms), if there are such axes."""
    for objective in objectives:
        if objective.outcome in _LATENCIES and latency is not None:
            colour = LATENCY_COLOURS[objective.outcome]
            latency.axhline(1000 * objective.bound, linestyle="--", color=colour, label=objective.text)
        elif objective.outcome == "p200" and success is not None:
            success.axhline(100 * objective.bound, linestyle="--", color=LIGHT["good"], label=objective.text)


def plain_numbers(axes: Any, paces: Sequence[float]) -> None:
    """Label a logarithmic axis with few plain numbers: 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import NullFormatter, NullLocator

    low, high = min(paces), max(paces)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    marks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [mark for mark in marks if low / 1.2 <= mark <= high * 1.2] or [low]
    axes.set_xticks(inside, [f"{mark:g}" for mark in inside])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _table(ramp: Ramp, unit: str) -> pd.DataFrame:
    """Return the runs as a frame of texts, in their order."""
    import pandas as pd

    rows = []
    for run in ramp.runs:
        details = run.response.details or {}
        told = {label: _milliseconds(details.get(name, math.nan)) for name, label in _LATENCIES.items()}
        latencies = {label: text.replace(" ", "\N{NO-BREAK SPACE}") for label, text in told.items()}
        outcomes = {"answers/s": f"{run.response.qps:.1f}", "success": f"{run.response.p200:.2%}", **latencies}
        rows.append({unit: f"{run.pace:.4g}", **outcomes, "kept": "yes" if run.margin >= 0 else "no"})
    return pd.DataFrame(rows)

"""A recommendation as a page: what to deploy, what is expected of it, what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from meshagents.recommend.curve import Curve
from meshagents.recommend.within import Point
from meshgym.pages.figures import LIGHT, draw
from meshgym.pages.page import Section, to_html
from meshgym.slo.objective import Objective
from meshgym.slo.output import LATENCY_COLOURS, objective_lines
from meshgym.types import Load, Response

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACES = {"threads": "threads", "rate_per_s": "calls per second"}
_P99 = "latency_p99_s"
_LABELS = {"p200": "success (%)", _P99: "p99 of the 200s (ms)"}


def to_page(
    title: str,
    text: Sequence[str],
    tables: Sequence[tuple[str, pd.DataFrame | dict[str, str] | str]],
    *,
    drawn: Curve | None,
    chosen: Load,
    objectives: Sequence[Objective],
    front: Sequence[Point],
    measured: Sequence[tuple[Load, Response]],
) -> str:
    """Return the page.

    Args:
        title: of the page.
        text: paragraphs at its beginning.
        tables: blocks with captions, see :class:`meshgym.pages.page.Section`.
        drawn: what is expected over the load; None if nothing is.
        chosen: the load to mark.
        objectives: lines to draw.
        front: compromises to show; none for no section on them.
        measured: runs.

    Raises:
        MissingDependencyError: Matplotlib or jinja2 isn't installed.
    """
    sections = [Section("What to deploy", list(text), list(tables))]
    if drawn is not None:
        svg = draw(
            (6, 2.7 * len(drawn.bands) + 0.2), lambda figure: _paint(figure, drawn, chosen, objectives, measured)
        )
        caption = (
            f"With {drawn.calls} calls, over the {_PACES[drawn.pace]}. Line and band: what the simulator expects, and "
            "where 90 % of single runs lie. Points: measured runs. Dashed: objectives. Dotted: the load of this page."
        )
        sections.append(Section("Under more load, and under less", [], [(caption, svg)]))
    if front:
        sections.append(_compromises(front))
    return to_html(title, sections, lead="A recommendation of meshgym: traffic rules, and the load to test them with.")


def _paint(
    figure: Figure,
    drawn: Curve,
    chosen: Load,
    objectives: Sequence[Objective],
    measured: Sequence[tuple[Load, Response]],
) -> None:
    rows = figure.subplots(len(drawn.bands), 1, sharex=True, squeeze=False)[:, 0]
    axes = dict(zip(drawn.bands, rows, strict=True))
    looks = {"p200": (100, LIGHT["good"]), _P99: (1000, LATENCY_COLOURS[_P99])}
    for name, band in drawn.bands.items():
        scale, colour = looks[name]
        one = axes[name]
        one.fill_between(drawn.paces, scale * band.low, scale * band.high, color=colour, alpha=0.2, linewidth=0)
        one.plot(drawn.paces, scale * band.expected, color=colour, label="expected")
        points = [(getattr(load, drawn.pace), _told(name, response)) for load, response in measured]
        points = [(pace, scale * value) for pace, value in points if value is not None]
        if points:
            one.plot(*zip(*points, strict=True), "o", color=LIGHT["ink"], markersize=5, label="measured", alpha=0.7)
        one.axvline(getattr(chosen, drawn.pace), color=LIGHT["soft"], linestyle=":")
        one.set_ylabel(_LABELS[name])
    objective_lines(objectives, axes.get("p200"), axes.get(_P99))
    for one in rows:
        one.legend(loc="best")
    rows[-1].set_xlabel(_PACES[drawn.pace])
    rows[-1].locator_params(axis="x", integer=drawn.pace == "threads")


def _told(name: str, response: Response) -> float | None:
    """Return an outcome of a run; None if it doesn't tell."""
    return float(response.p200) if name == "p200" else (response.details or {}).get(name)


def _compromises(front: Sequence[Point]) -> Section:
    text = [
        "No rules and load are better than one of these in one respect without being worse in another, by what the "
        "simulator expects. Choose what your service needs."
    ]
    caption = "Each point is one of them. Filled: the objectives are kept with 95 % certainty."
    blocks: list[Any] = [
        (caption, draw((6, 4.6), lambda figure: _paint_front(figure, front))),
        ("The most 200s per second first", front_table(front, "\N{NO-BREAK SPACE}ms")),
    ]
    return Section("The best compromises", text, blocks)


def _paint_front(figure: Figure, front: Sequence[Point]) -> None:
    rows = figure.subplots(2 if front[0].p99 is not None else 1, 1, sharex=True, squeeze=False)[:, 0]
    for kept, label in ((True, "objectives kept"), (False, "not kept, or not surely")):
        own = [point for point in front if point.kept == kept]
        rates, filled = [point.goodput for point in own], None if kept else "none"
        looks = {"markerfacecolor": filled, "markersize": 7, "label": label}
        rows[0].plot(rates, [100 * point.success for point in own], "o", color=LIGHT["good"], **looks)
        if len(rows) > 1:
            p99 = [1000 * point.p99 for point in own if point.p99 is not None]
            rows[1].plot(rates, p99, "o", color=LATENCY_COLOURS[_P99], **looks)
            rows[1].set_ylabel(_LABELS[_P99])
    rows[0].set_ylabel(_LABELS["p200"])
    rows[0].legend(loc="best")
    rows[-1].set_xlabel("200s per second")


def front_table(front: Sequence[Point], milliseconds: str = " ms") -> pd.DataFrame:
    """Return compromises as a frame of texts, with the rules that differ among them."""
    varying = [name for name in front[0].rules if len({point.rules[name] for point in front}) > 1]
    return pd.DataFrame(
        [
            {
                "200s/s": f"{point.goodput:.0f}",
                "success": f"{point.success:.2%}",
                **({"p99": f"{1000 * point.p99:.0f}{milliseconds}"} if point.p99 is not None else {}),
                "kept": "yes" if point.kept else "no",
                **{name: f"{getattr(point.load, name):g}" for name in point.load.names},
                **{name: f"{point.rules[name]:g}" for name in varying},
            }
            for point in front
        ]
    )

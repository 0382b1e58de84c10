"""Matplotlib's figures as SVG that takes its colours from the page it stands in."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from meshgym.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours by name, in the light and in the dark theme. Figures are drawn in the light ones.
COLOURS = {
    "ink": ("#1c2530", "#e3e9ef"),
    "soft": ("#5b6773", "#9fabb7"),
    "line": ("#d9dfe5", "#36414c"),
    "tint": ("#f4f7f9", "#1d252d"),
    "paper": ("#ffffff", "#12181e"),
    "accent": ("#0b6e8a", "#58c4e0"),
    "good": ("#2b7a3d", "#6fcf85"),
    "bad": ("#b3261e", "#ff8f86"),
    "warm": ("#9a5b00", "#f0a957"),
    "deep": ("#6c3fb0", "#c4a2f5"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}


def style() -> str:
    """Return the colours of both themes as CSS variables."""
    light, dark = (" ".join(f"--{name}: {pair[theme]};" for name, pair in COLOURS.items()) for theme in range(2))
    return f":root {{ color-scheme: light dark; {light} }} @media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def draw(size: tuple[float, float], paint: Callable[[Figure], Any]) -> str:
    """Draw a figure; return it as an SVG to stand in a page. The same figure always gives the same text.

    Args:
        size: width and height in inches.
        paint: draws in the colours of :data:`LIGHT`.

    Raises:
        MissingDependencyError: Matplotlib isn't installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "drawing figures", "simulator") from error
    dark = dict.fromkeys(
        ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), LIGHT["ink"]
    )
    settings: Any = {
        **dark,
        "font.size": 11,
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "grid.color": LIGHT["line"],
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "meshgym",
    }
    rendered = io.BytesIO()
    with rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        figure.savefig(rendered, format="svg", transparent=True, metadata={"Date": None})
    svg = rendered.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, 'DejaVu Sans', sans-serif", svg)
    for name, light in LIGHT.items():
        svg = svg.replace(light, f"var(--{name}, {light})")
    return svg


def standalone(svg: str) -> bytes:
    """Return an SVG that stands alone in a file, in the theme of who looks at it."""
    head, rest = svg.split(">", 1)
    return f"{head}>\n<style>{style()}</style>{rest}".encode()

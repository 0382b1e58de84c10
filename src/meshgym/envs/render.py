"""The rewards of all actions under a core's rules, over both load fields, as text, as an image or in a window."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.envs.core import Core
from meshgym.envs.picture import Picture
from meshgym.errors import InvalidValueError, MissingDependencyError, UnknownNameError

#: Of single environments; and of several at once, which have no window.
RENDER_MODES, STILL_MODES = ["ansi", "human", "rgb_array"], ["ansi", "rgb_array"]
#: Of an image, in inches and pixels per inch.
_SIZE, _DPI = (8.0, 5.0), 100
#: Characters of the rules in a line of an image.
_WIDTH = 100


def check_render_mode(render_mode: str | None, modes: list[str]) -> str | None:
    """Return ``render_mode``.

    Raises:
        UnknownNameError: neither None nor one of ``modes``.
    """
    if render_mode is not None and render_mode not in modes:
        raise UnknownNameError("render_mode", render_mode, modes)
    return render_mode


def render(core: Core, render_mode: str, copy: int = 0) -> str | NDArray[np.uint8] | None:
    """Render the rewards under the rules of the last step, or under those in force if there was none yet.

    Args:
        core: after a reset.
        render_mode: ``"ansi"``, ``"rgb_array"`` or ``"human"``.
        copy: which of the copies.

    Returns:
        Text; or an image of shape (500, 800, 3) with the rules in words, the reward of every load, and a circle around
        that of the last action; or None after showing that in a window.

    Raises:
        InvalidValueError: there was no reset yet, or nobody knows the rewards.
        MissingDependencyError: an image is wanted, and Matplotlib isn't installed.
    """
    if core.oracle is None:
        raise InvalidValueError("render_mode", render_mode, "only with a simulator, which knows all rewards")
    if not core.generators:
        raise InvalidValueError("render()", "before reset()", "a running episode", "Call reset() first.")
    picture = core.picture(copy)
    if render_mode == "ansi":
        return _text(core.scenario.name, picture)
    image = _image(core.scenario.name, picture)
    if render_mode == "rgb_array":
        return image
    show(image)
    return None


def show(image: NDArray[np.uint8]) -> None:
    """Show an image in a window, the same one each time; do nothing where Matplotlib has no display."""
    import matplotlib
    from matplotlib import pyplot

    if matplotlib.get_backend().lower() in ("agg", "pdf", "ps", "svg", "template", "cairo"):
        return
    figure = pyplot.figure("meshgym", figsize=_SIZE, clear=True)
    figure.add_axes((0, 0, 1, 1)).imshow(image)
    figure.axes[0].set_axis_off()
    pyplot.pause(0.001)


def _text(name: str, picture: Picture) -> str:
    (down, rows), (across, columns) = picture.axes.items()
    lines = [f"{name}: {picture.words}", f"reward, {down} down, {across} across:"]
    lines.append(" " * 8 + "".join(f"{value:>11}" for value in columns))
    for i, value in enumerate(rows):
        rewards = enumerate(picture.surface[i])
        cells = (f"[{reward:.4g}]" if picture.chosen == [i, k] else f"{reward:.4g} " for k, reward in rewards)
        lines.append(f"{value:>8}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def _image(name: str, picture: Picture) -> NDArray[np.uint8]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "drawing an image", "simulator") from error
    (down, rows), (across, columns) = picture.axes.items()
    surface, chosen = picture.surface, picture.chosen
    figure: Any = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.subplots()
    drawn = axes.imshow(surface, origin="lower", aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    told = ""
    if chosen:
        y, x = chosen
        axes.plot(x, y, "o", markersize=16, fillstyle="none", color="red", markeredgewidth=2)
        told = f"\nchosen: {down} {rows[y]}, {across} {columns[x]}: {surface[y, x]:.4g}"
    axes.set_title(textwrap.fill(f"{name}: {picture.words}", _WIDTH) + told, fontsize="small", loc="left")
    axes.set(xlabel=across, ylabel=down)
    figure.colorbar(drawn, label="reward")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

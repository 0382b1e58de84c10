"""The rewards of all actions under a core's rules, over both load fields, as text or as an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshgym.envs.core import Core
from meshgym.errors import InvalidValueError, UnknownNameError

RENDER_MODES = ["ansi", "rgb_array"]
_CELL = 48  # pixels
#: Colours of the lowest, the middle and the highest reward, and of the frame around the action.
_COLOURS = np.array([[68, 1, 84], [33, 145, 140], [253, 231, 37]])
_FRAME = (220, 20, 60)


def check_render_mode(render_mode: str | None, modes: list[str]) -> str | None:
    """Return ``render_mode``.

    Raises:
        UnknownNameError: neither None nor one of ``modes``.
    """
    if render_mode is not None and render_mode not in modes:
        raise UnknownNameError("render_mode", render_mode, modes)
    return render_mode


def render(core: Core, render_mode: str, copy: int = 0) -> str | NDArray[np.uint8]:
    """Render the rewards under the rules of the last step, or under those in force if there was none yet.

    Args:
        core: after a reset.
        render_mode: ``"ansi"`` or ``"rgb_array"``.
        copy: which of the copies.

    Returns:
        Text, or an image of shape (48 n_paces, 48 n_calls, 3); the cell of the last action is marked.

    Raises:
        InvalidValueError: there was no reset yet, or nobody knows the rewards.
    """
    if core.oracle is None:
        raise InvalidValueError("render_mode", render_mode, "only with a simulator, which knows all rewards")
    if not core.generators:
        raise InvalidValueError("render()", "before reset()", "a running episode", "Call reset() first.")
    row, *action = (int(np.ravel(index)[copy]) for index in core.played or (core.row,))
    surface = core.oracle.surfaces(np.array([row]))[0]
    return _image(surface, action) if render_mode == "rgb_array" else _text(core, row, surface, action)


def rules_text(core: Core, rules: NDArray[np.float64]) -> str:
    """Return every rule's name and value in one line."""
    return ", ".join(f"{name} {value:g}" for name, value in zip(core.scenario.rule_names, rules, strict=True))


def _text(core: Core, row: int, surface: NDArray[np.float64], action: list[int]) -> str:
    (pace, paces), (_, calls) = core.actions.values.items()
    lines = [f"{core.scenario.name}: {rules_text(core, core.rules[row])}", f"reward, {pace} down, calls across:"]
    lines.append(" " * 8 + "".join(f"{value:>11}" for value in calls))
    for i, value in enumerate(paces):
        cells = (f"[{reward:.4g}]" if action == [i, k] else f"{reward:.4g} " for k, reward in enumerate(surface[i]))
        lines.append(f"{value:>8}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def _image(surface: NDArray[np.float64], action: list[int]) -> NDArray[np.uint8]:
    spread = np.ptp(surface) or 1.0
    height = (surface - surface.min()) / spread
    stops = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(height, stops, channel) for channel in _COLOURS.T], axis=-1).astype(np.uint8)
    image = colours.repeat(_CELL, axis=0).repeat(_CELL, axis=1)
    if action:
        top, left = (_CELL * index for index in action)
        cell = image[top : top + _CELL, left : left + _CELL]
        inside = cell[3:-3, 3:-3].copy()
        cell[:] = _FRAME
        cell[3:-3, 3:-3] = inside
    return image

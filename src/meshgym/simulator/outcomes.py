"""Outcomes as targets of a model, and predicted targets as outcomes that fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.fields import OUTCOMES
from meshgym.mesh.sequences import SHARES

FloatArray = NDArray[np.float64]

#: No run lasts longer, as a logarithm of seconds; far outside the traces, a network may say so.
_LONGEST = 20.0
_SECONDS = tuple(name for name, field in OUTCOMES.items() if field.unit == "s")


def to_target(name: str, values: FloatArray) -> FloatArray:
    """Return an outcome as a model learns it: the logarithm of seconds, everything else as it is."""
    return np.log(values) if name in _SECONDS else values


def clip_target(name: str, targets: FloatArray) -> FloatArray:
    """Return targets of one outcome within its range."""
    low, high = (-np.inf, _LONGEST) if name in _SECONDS else (OUTCOMES[name].low, OUTCOMES[name].high)
    clipped: FloatArray = np.clip(targets, low, high)
    return clipped


def to_range(name: str, targets: FloatArray) -> FloatArray:
    """Return targets of one outcome in its own unit and range; the inverse of :func:`to_target`."""
    clipped = clip_target(name, targets)
    return np.exp(clipped) if name in _SECONDS else clipped


def to_outcomes(names: Sequence[str], targets: FloatArray, constant: Mapping[str, float]) -> dict[str, FloatArray]:
    """Return predicted targets as outcomes: shares from 0 to 1 that add up, latencies that ascend.

    Args:
        names: of the targets.
        targets: in their units, shape (..., targets).
        constant: outcomes that are the same in all runs.

    Returns:
        By name, in the order of the table of outcomes; each of shape (...).
    """
    found: dict[str, Any] = {name: to_range(name, targets[..., i]) for i, name in enumerate(names)}
    found |= {name: np.full(targets.shape[:-1], value) for name, value in constant.items()}
    found["p200"] = np.minimum(found["p200"], 1 - found["p503"]) if "p200" in found else 1 - found["p503"]
    if found.keys() >= set(SHARES):
        _add_up(found)
    limits = {
        "p_reset": found.get("p_upstream_error", 1.0),
        "p_timeout": np.maximum(1 - found["p200"] - found["p503"], 0),
    }
    for name, most in limits.items():
        if name in found:
            found[name] = np.minimum(found[name], most)
    longest: Any = 0.0
    for name in _SECONDS:
        if name in found:
            found[name] = longest = np.maximum(found[name], longest)
    return {name: found[name] for name in OUTCOMES if name in found}


def _add_up(found: dict[str, Any]) -> None:
    """Make the reasons of the 503s add up to p503."""
    total = np.sum([found[name] for name in SHARES], axis=0)
    scale = np.divide(found["p503"], total, out=np.zeros_like(total), where=total > 0)
    for name in SHARES:
        found[name] = found[name] * scale
    found[SHARES[-1]] = np.where(total > 0, found[SHARES[-1]], found["p503"])

"""The parts that the file of any simulator holds, as arrays, and the checksum over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from meshgym.errors import SimulatorError
from meshgym.files import Arrays, check_finite, digest, parse_json
from meshgym.simulator.calibration import Calibration
from meshgym.simulator.kinds import KINDS, kind_of, starting
from meshgym.simulator.predictor import Predictor
from meshgym.simulator.scaling import Scaling

Part = TypeVar("Part", Scaling, Calibration)
REMEDY = "Fit it again with: meshgym fit"


def parts_to_arrays(
    identity: Mapping[str, Any], predictor: Predictor, scaling: Scaling, calibration: Calibration
) -> Arrays:
    """Return all parts as arrays without objects.

    Args:
        identity: plain values.
        predictor, scaling, calibration: the other parts.
    """
    arrays: Arrays = {"identity": np.array(json.dumps(identity, sort_keys=True))}
    for part in (scaling, calibration):
        arrays |= {f"{_prefix(type(part))}_{column.name}": getattr(part, column.name) for column in fields(part)}
    kind = kind_of(predictor)
    return arrays | {f"{kind}_{name}": array for name, array in predictor.to_arrays().items()}


def parts_of(arrays: Arrays, kind: str) -> tuple[Predictor, Scaling, Calibration]:
    """Make the parts again, with a predictor of a kind.

    Raises:
        Exception: they are damaged; use it inside :func:`meshgym.files.reading`.
    """
    check_finite(arrays)
    predictor = KINDS[kind].from_arrays(starting(f"{kind}_", arrays))
    return predictor, _part(Scaling, arrays), _part(Calibration, arrays)


def sealed(arrays: Arrays) -> Arrays:
    """Return the arrays with a checksum over them."""
    return arrays | {"sha256": np.array(digest(arrays))}


def unsealed(arrays: Arrays, source: str) -> tuple[dict[str, Any], Arrays]:
    """Return the identity of what :func:`sealed` returned, and the other arrays.

    Args:
        arrays: left unchanged.
        source: where they come from, for messages.

    Raises:
        SimulatorError: the arrays are not a simulator, or edited.
    """
    if not {"identity", "sha256"} <= set(arrays):
        raise SimulatorError(f"{source} is an .npz file, but not a simulator. {REMEDY}")
    parts = {name: array for name, array in arrays.items() if name != "sha256"}
    if str(arrays["sha256"]) != digest(parts):
        raise SimulatorError(f"{source} was edited or damaged: its checksum doesn't fit. {REMEDY}")
    return parse_json(str(parts["identity"])), parts


def _part(kind: type[Part], arrays: Arrays) -> Part:
    return kind(**{column.name: arrays[f"{_prefix(kind)}_{column.name}"] for column in fields(kind)})


def _prefix(kind: type) -> str:
    return kind.__name__.lower()

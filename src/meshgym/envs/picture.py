"""What there is to draw of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshgym.scenarios import Scenario


class Picture(NamedTuple):
    """What there is to draw of a step.

    Attributes:
        words: what the agent couldn't choose.
        axes: values of two fields that it could, by name.
        surface: expected rewards, shape (values of the first, values of the second).
        chosen: indices of the last choice; empty if there was none.
    """

    words: str
    axes: Mapping[str, Sequence[Any]]
    surface: NDArray[np.float64]
    chosen: list[int]


def rules_text(scenario: Scenario, rules: NDArray[np.float64]) -> str:
    """Return every rule's name and value in one line."""
    return ", ".join(f"{name} {value:g}" for name, value in zip(scenario.rule_names, rules, strict=True))

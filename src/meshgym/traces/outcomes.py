"""The outcomes that a trace set has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meshgym.types import further_outcomes

if TYPE_CHECKING:
    import pandas as pd

#: The outcomes that are always learned and judged; p200 is what p503 leaves, unless there are other statuses.
FIRST: tuple[str, ...] = ("qps", "p503")


def outcomes_in(frame: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return the outcomes that a trace set has, each of shape (n,), those of :data:`FIRST` first.

    A latency is NaN where a run has none. p200 stands among them only if it isn't always 1 - p503.
    """
    columns = {str(name): frame[name].to_numpy(np.float64) for name in frame if frame[name].dtype.kind in "if"}
    found = {name: columns[name] for name in FIRST}
    if not np.allclose(columns["p200"] + columns["p503"], 1, atol=1e-6):
        found["p200"] = columns["p200"]
    return found | further_outcomes(columns, columns["calls"])

"""What the runs of a search may do to a service at most, and how to come near it from the gentle side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError

if TYPE_CHECKING:
    from meshgym.adaptive.surrogate import Surrogate

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Runs that are asked for together; the next ones know what came of them.
CAREFUL_BATCH = 10
#: While nothing is known, the pace is among so much of the slowest ones.
_GENTLE = 0.25


@dataclass(frozen=True)
class Caution:
    """Limits on what runs may do. Runs that are likely to exceed one aren't asked for; batches go from gentle to harsh.

    A run counts as likely to if what is expected of it, and one standard deviation more, lies above. That is a guess:
    a mesh's own limits (``max_p503``, ``max_qps``) say when to stop. An open loop's rate is known, and never above.

    Attributes:
        most_503: share of 503s, above 0, at most 1.
        most_rate: calls per second, above 0.

    Raises:
        InvalidValueError: a limit out of range.
    """

    most_503: float = 1.0
    most_rate: float = math.inf

    def __post_init__(self) -> None:
        if not 0 < self.most_503 <= 1:
            raise InvalidValueError("most_503", self.most_503, "a share above 0, at most 1")
        if not self.most_rate > 0:
            raise InvalidValueError("most_rate", self.most_rate, "calls per second, above 0")

    def allows(self, p503: Surrogate, qps: Surrogate, settings: FloatArray) -> Mask:
        """Return which settings are likely to stay within the limits, shape (n,).

        Args:
            p503, qps: what is known of them.
            settings: shape (n, columns).
        """
        limits = ((p503, self.most_503), (qps, self.most_rate))
        highest = [np.add(*known.moments(settings)) - limit for known, limit in limits if limit < math.inf]
        within: Mask = np.max(highest, axis=0) <= 0
        return within

    def gentle(self, paces: FloatArray, values: FloatArray) -> Mask:
        """Return which settings are gentle enough while nothing is known, shape (n,).

        Args:
            paces: of the settings, shape (n,): threads, or calls per second.
            values: the paces to choose from.
        """
        return np.asarray(paces <= max(np.quantile(np.unique(values), _GENTLE), values.min()))

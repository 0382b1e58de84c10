"""What was expected, measured on a live mesh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshagents.recommend.search import Expected, Recommendation
from meshgym.errors import InvalidValueError
from meshgym.mesh.base import Mesh
from meshgym.types import Response


@dataclass(frozen=True)
class Run:
    """One measured run of an expected load."""

    expected: Expected
    response: Response

    def inside(self, name: str) -> bool:
        """Whether ``qps`` or ``p503`` lies within its expected interval."""
        expected = getattr(self.expected, name)
        return bool(expected.low <= getattr(self.response, name) <= expected.high)


def measure(mesh: Mesh, advice: Recommendation, repeats: int) -> Iterator[Run]:
    """Send every load of a recommendation ``repeats`` times, in turns; each run is given as it is done.

    Raises:
        InvalidValueError: repeats below 1.
        MeshError: the mesh could not answer.
    """
    if repeats < 1:
        raise InvalidValueError("repeats", repeats, "at least 1")
    for _ in range(repeats):
        for expected in advice.expected:
            yield Run(expected, mesh.measure(advice.rules, expected.load))

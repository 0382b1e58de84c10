"""Sequences of runs on the embedded mesh: each copy has a lane, and all are asked together, on the clock."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import MeshError
from meshgym.mesh.base import stacked
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.mesh.load.client import no_collection
from meshgym.mesh.sequences import Sequences, told
from meshgym.scenarios import Scenario, load_scenario
from meshgym.types import Response


class EmbeddedSequences(Sequences):
    """Sequences of runs on an embedded mesh of their own.

    An interval begins when the one before is over, at the earliest ``interval_s`` after that one began; so it is as
    long as the scenario says, or longer by the time that the last calls take.

    Args:
        scenario: name, file or :class:`Scenario`, with a section ``[control]``.
        copies: how many are measured side by side, 1..64.
        fresh: whether the cluster is built anew for each interval, so that no ejection and no connection stays while
            capacity and faults go on: to see what difference they make.

    Raises:
        InvalidValueError: the scenario has no such section, or another number of copies.
        MeshStartError: the mesh didn't start.
    """

    def __init__(self, scenario: str | Path | Scenario = "C1", copies: int = 1, fresh: bool = False) -> None:
        super().__init__(load_scenario(scenario), copies)
        self._mesh = EmbeddedMesh(self.scenario, lanes=copies)
        self._fresh = fresh
        self._goes_on = False
        self._due = 0.0

    def begin(self) -> None:
        """See :meth:`Sequences.begin`."""
        self._goes_on = False

    def measure(self, settings: NDArray[np.float64]) -> Response:
        """See :meth:`Sequences.measure`.

        Raises:
            DisturbedError: something else than the mesh decided what came back; the sequence can't go on.
        """
        found = self.measure_each(settings)
        for response in found:
            if isinstance(response, MeshError):
                raise response
        responses = [response for response in found if isinstance(response, Response)]
        calls = settings[:, -1]
        details = [told(response, count) for response, count in zip(responses, calls, strict=True)]
        columns = {name: np.array([one[name] for one in details]) for name in details[0]}
        return stacked(responses)._replace(details=columns)

    def measure_each(self, settings: NDArray[np.float64]) -> list[Response | MeshError]:
        """Return what came back of each copy, or its error; the sequence of a copy with an error can't go on.

        Args:
            settings: shape (n, columns), of the first n copies.
        """
        asked = [self.scenario.setting_at(row) for row in settings]
        found: dict[int, Response | MeshError] = {}
        time.sleep(max(self._due - time.monotonic(), 0))
        self._due = time.monotonic() + self.control.interval_s
        for lane, setting in enumerate(asked):
            if self._fresh:
                self._mesh.rebuild(lane)
            self._mesh.begin_setting(lane, setting, self._goes_on)
        with no_collection():
            while len(found) < len(asked):
                found.update(self._mesh.completed())
        self._goes_on = True
        return [found[lane] for lane in range(len(asked))]

    def close(self) -> None:
        """End the mesh."""
        self._mesh.close()

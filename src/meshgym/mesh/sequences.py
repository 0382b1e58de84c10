"""Runs that follow one another: what one of them leaves behind, the next one meets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError
from meshgym.fields import OUTCOMES
from meshgym.scenarios import Control, Scenario
from meshgym.types import Response

#: What an interval tells besides the three outcomes: shares of the calls, then whole numbers at its end.
SHARES = ("p_overflow", "p_no_healthy_host", "p_upstream_error")
COUNTED = ("ejected", "connected")


def control_of(scenario: Scenario) -> Control:
    """Return how runs of a scenario follow one another.

    Raises:
        InvalidValueError: it doesn't say.
    """
    if scenario.control is None:
        raise InvalidValueError(
            f"scenario {scenario.name}", "no section [control]", "one with interval_s and intervals"
        )
    return scenario.control


class Sequences(ABC):
    """A service in one or many copies, each of which is asked interval after interval.

    From one interval to the next, ejections and connections stay, and so does what the replicas can still serve. A
    change of rules takes the ejections and the connections away, as Envoy builds the cluster anew for it.

    A context manager, as a mesh is.

    Args:
        scenario: with a section ``[control]``.
        copies: how many there are.

    Raises:
        InvalidValueError: the scenario has no such section.
    """

    def __init__(self, scenario: Scenario, copies: int) -> None:
        self.scenario = scenario
        self.control = control_of(scenario)
        self.copies = copies

    def seed(self, generators: Sequence[np.random.Generator]) -> None:
        """Begin new draws, one generator per copy; a mesh that doesn't draw ignores it."""

    @abstractmethod
    def begin(self) -> None:
        """Begin new sequences: nothing is left of what was before."""

    @abstractmethod
    def measure(self, settings: NDArray[np.float64]) -> Response:
        """Return what came back of the next interval.

        Args:
            settings: rules and load of each copy, shape (copies, columns), columns as the scenario's ``setting_names``.

        Returns:
            Arrays of shape (copies,). ``details`` has ``ejected``, the replicas that are ejected at the end of the
            interval, ``connected``, the open connections then, and the shares of 503s by reason.

        Raises:
            MeshError: a run failed, or no sequence was begun.
        """

    def close(self) -> None:
        """End what was started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def told(response: Response, calls: Any) -> dict[str, Any]:
    """Return what a live run tells of an interval, by name."""
    details = response.details or {}
    shares = {name: details[OUTCOMES[name].counted] / calls for name in SHARES}
    return {**shares, **{name: float(details[name]) for name in COUNTED}}

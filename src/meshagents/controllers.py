"""Controllers of traffic rules, as operators write them: they see what an agent sees, and learn nothing.

Each maps observations of ``MeshControl-v0``, shape (n, inputs), to flat actions, shape (n,). They take the rules that
vary in the bundled scenario; one that doesn't vary is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
#: From observations, shape (n, inputs), to flat actions, shape (n,).
Controller = Callable[[Any], IntArray]
#: Istio's values where a DestinationRule has ``outlierDetection: {}``; a limit that isn't given is none.
ISTIO: Mapping[str, float] = {
    "consecutive_5xx_errors": 5,
    "base_ejection_time_s": 30,
    "max_ejection_percent": 10,
    "http2_max_requests": np.inf,
}
#: Calls per second above which a hysteresis is lenient, and below which it is strict; the bundled service serves 140.
_HIGH, _LOW = 120.0, 90.0
#: Above this share of 503s from replicas, a limit on requests is halved.
_TOLERATED = 0.05


class Panel:
    """What a controller reads and sets: the columns of observations, and the values that rules can have.

    Args:
        env: a ``MeshControl-v0``, or any environment with its ``seen`` and ``actions``.
    """

    def __init__(self, env: Any) -> None:
        self._columns = {name: column for column, name in enumerate(env.seen)}
        self.values = {name: np.array(values) for name, values in env.actions.values.items()}

    def read(self, observations: Any, name: str) -> NDArray[np.float64]:
        """Return what observations show of a name, shape (n,)."""
        return np.asarray(observations, np.float64)[:, self._columns[name]]

    def set(self, observations: Any, rules: Mapping[str, Any]) -> IntArray:
        """Return the actions that keep the rules in force, but for these, which get the nearest value they can have.

        Args:
            observations: shape (n, inputs).
            rules: a number, or one for each observation, shape (n,); those that don't vary don't matter.
        """
        indices = []
        for name, values in self.values.items():
            wanted = np.clip(rules.get(name, self.read(observations, name)), values[0], values[-1])
            wanted = np.broadcast_to(wanted, len(observations))
            indices.append(np.abs(values - wanted[:, None]).argmin(axis=1))
        return np.asarray(np.ravel_multi_index(tuple(indices), tuple(map(len, self.values.values()))))


def istio_defaults(panel: Panel) -> Controller:
    """Return who leaves everything at Istio's defaults, as near as the values of the scenario come."""
    return lambda observations: panel.set(observations, ISTIO)


def fixed(panel: Panel, action: int) -> Controller:
    """Return who always chooses the same."""
    return lambda observations: np.full(len(observations), action)


def hysteresis(panel: Panel, high: float = _HIGH, low: float = _LOW) -> Controller:
    """Return who ejects early and for long, but leniently under loads near what the service can serve.

    There, sound replicas respond with 503s, too. Between both thresholds nothing changes, so a load that wavers doesn't
    make the rules waver.

    Args:
        panel: what is read and set.
        high, low: calls per second; ``meshgym ramp`` finds what a service can serve.
    """
    strict = {"consecutive_5xx_errors": 1, "base_ejection_time_s": np.inf, "max_ejection_percent": 50}
    lenient = {"consecutive_5xx_errors": np.inf, "base_ejection_time_s": 1, "max_ejection_percent": 1}

    def choose(observations: Any) -> IntArray:
        rate = panel.read(observations, "rate_per_s")
        return np.select(
            [rate > high, rate < low],
            [panel.set(observations, lenient), panel.set(observations, strict)],
            panel.set(observations, {}),
        )

    return choose


def additive_increase(panel: Panel) -> Controller:
    """Return who lets one step more requests through while replicas don't fail, and half as many once they do.

    So do controllers of circuit breakers in the literature (Saleh Sedghpour et al., IC2E 2023) and, by latency instead
    of failures, Envoy's adaptive concurrency.
    """
    limit = "http2_max_requests"
    step = float(np.diff(panel.values[limit]).min()) if limit in panel.values else 0.0

    def choose(observations: Any) -> IntArray:
        if limit not in panel.values:
            return panel.set(observations, {})
        now = panel.read(observations, limit)
        failing = panel.read(observations, "p_upstream_error")
        return panel.set(observations, {limit: np.where(failing > _TOLERATED, now / 2, now + step)})

    return choose

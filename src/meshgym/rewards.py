"""Rewards: pure functions of a mesh's response. A simulator never predicts them.

Each reward takes ``qps`` (1/s), ``p200`` and ``p503`` (shares 0..1) as arrays (or numbers) of equal shape and
returns one of that shape, in 1/s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError, UnknownNameError

FloatArray = NDArray[np.float64]
#: ``reward(qps, p200, p503) -> reward``; batched.
Reward = Callable[[Any, Any, Any], Any]


def worst_case(qps: FloatArray, p200: FloatArray, p503: FloatArray) -> FloatArray:
    """Return 503s per second, ``qps * p503``: the load that breaks a service maximizes it (paper, Eq. 3)."""
    return qps * p503


def best_case(qps: FloatArray, p200: FloatArray, p503: FloatArray) -> FloatArray:
    """Return 200s per second, ``qps * p200``: the rules to deploy maximize it (paper, Table 2)."""
    return qps * p200


REWARDS: dict[str, Reward] = {"worst_case": worst_case, "best_case": best_case}


def load_reward(reward: str | Reward) -> Reward:
    """Return the reward of a name, or a callable with a check of what it returns.

    The callable may raise ``InvalidValueError`` then: it returned NaN or infinity.

    Raises:
        UnknownNameError: an unknown name.
        InvalidValueError: neither a name nor a callable.
    """
    if isinstance(reward, str):
        if reward not in REWARDS:
            raise UnknownNameError("reward", reward, REWARDS)
        return REWARDS[reward]
    if not callable(reward):
        raise InvalidValueError("reward", reward, f"{', '.join(REWARDS)}, or a function of (qps, p200, p503)")
    if reward in REWARDS.values() or isinstance(reward, _Checked):
        return reward
    return _Checked(reward)


class _Checked:
    """A reward that must return finite numbers."""

    def __init__(self, reward: Reward) -> None:
        self.reward = reward

    def __call__(self, qps: FloatArray, p200: FloatArray, p503: FloatArray) -> FloatArray:
        found: FloatArray = self.reward(qps, p200, p503)
        if not np.isfinite(found).all():
            name = getattr(self.reward, "__qualname__", repr(self.reward))
            raise InvalidValueError(f"what the reward {name} returned", found, "finite numbers")
        return found


def share_between_services(rewards: FloatArray, beta: float) -> FloatArray:
    """Return each service's reward plus ``beta`` times the mean over all services (paper, Eq. 8).

    Args:
        rewards: shape (..., services).
        beta: weight of the mean.

    Returns:
        Shape (..., services).
    """
    mean: FloatArray = rewards.mean(axis=-1, keepdims=True)
    return rewards + beta * mean

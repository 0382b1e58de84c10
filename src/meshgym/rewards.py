"""Rewards: pure functions of a mesh's response. A simulator never predicts them.

Each reward takes ``qps`` (1/s), ``p200`` and ``p503`` (shares 0..1) as arrays (or numbers) of equal shape and
returns one of that shape; those below are in 1/s. Your own may take further outcomes, by their names in
:data:`meshgym.fields.OUTCOMES`::

    def quick(qps, p200, p503, latency_p99_s):
        return qps * p200 * (latency_p99_s < 0.2)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.fields import OUTCOMES
from meshgym.types import RESPONSE_NAMES, Response

FloatArray = NDArray[np.float64]
#: ``reward(qps, p200, p503, ...) -> reward``; batched.
Reward = Callable[..., Any]


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
        UnknownNameError: an unknown name, or an argument that is no outcome.
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


def apply_reward(reward: Reward, response: Response) -> Any:
    """Return the rewards of a response, with the outcomes that the reward takes.

    Args:
        reward: of :func:`load_reward`.
        response: of one setting, or of many.

    Raises:
        InvalidValueError: the mesh or the simulator doesn't tell one of these outcomes.
    """
    details = response.details or {}
    for name in further_needs(reward):
        if name not in details:
            told = ", ".join([*RESPONSE_NAMES, *details])
            raise InvalidValueError("outcome in the reward", name, f"one that this mesh or simulator tells: {told}")
    return reward(*response[: len(RESPONSE_NAMES)], *(details[name] for name in further_needs(reward)))


def further_needs(reward: Reward) -> tuple[str, ...]:
    """Return the outcomes that a reward takes besides the first three."""
    return reward.needs if isinstance(reward, _Checked) else ()


class _Checked:
    """A reward that must return finite numbers.

    Attributes:
        needs: the outcomes that it takes besides the first three.
    """

    def __init__(self, reward: Reward) -> None:
        self.reward = reward
        self.needs = _further_arguments(reward)

    def __call__(self, *outcomes: FloatArray) -> FloatArray:
        found: FloatArray = self.reward(*outcomes)
        if not np.isfinite(found).all():
            name = getattr(self.reward, "__qualname__", repr(self.reward))
            raise InvalidValueError(f"what the reward {name} returned", found, "finite numbers")
        return found


def _further_arguments(reward: Reward) -> tuple[str, ...]:
    """Return the names of a function's arguments after the first three that have no default."""
    try:
        parameters = list(inspect.signature(reward).parameters.values())[len(RESPONSE_NAMES) :]
    except (TypeError, ValueError):  # it doesn't tell, as some that are written in C
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(one.name for one in parameters if one.kind in positional and one.default is one.empty)
    for name in names:
        if name not in OUTCOMES:
            raise UnknownNameError("outcome in the reward", name, OUTCOMES)
    return names


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

"""Rewards: pure functions of a mesh's response. A simulator never predicts them.

Each reward takes ``qps`` (1/s), ``p200`` and ``p503`` (shares 0..1) as arrays (or numbers) of equal shape and
returns one of that shape; those below are in 1/s. Your own may take further outcomes, by their names in
:data:`meshgym.fields.OUTCOMES`, or a whole :class:`Run`::

    def quick(qps, p200, p503, latency_p99_s):
        return qps * p200 * (latency_p99_s < 0.2)


    def thrifty(run):
        return run.response.qps * run.response.p503 / run.load["calls"]

Where a reward is a text, ``"module:function"`` names one too; so it can stand in a spec or a file.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.fields import LOADS, OUTCOMES
from meshgym.types import RESPONSE_NAMES, Response

FloatArray = NDArray[np.float64]
#: ``reward(qps, p200, p503, ...) -> reward``, or ``reward(run) -> reward``; batched.
Reward = Callable[..., Any]


class Run(NamedTuple):
    """A run, or many: rules, load and what came of them, all of one shape.

    Attributes:
        rules: values of the rules that vary, by name.
        load: values of both load fields, by name.
        response: what came back; ``response.details`` has further outcomes by name.
    """

    rules: Mapping[str, Any]
    load: Mapping[str, Any]
    response: Response

    @classmethod
    def of(cls, settings: FloatArray, names: Sequence[str], response: Response) -> Run:
        """Return the runs of settings, shape (..., columns), with ``names`` as columns."""
        columns = {name: settings[..., column] for column, name in enumerate(names)}
        load = {name: columns.pop(name) for name in names if name in LOADS}
        return cls(columns, load, response)


def worst_case(qps: FloatArray, p200: FloatArray, p503: FloatArray) -> FloatArray:
    """Return 503s per second, ``qps * p503``: the load that breaks a service maximizes it (paper, Eq. 3)."""
    return qps * p503


def best_case(qps: FloatArray, p200: FloatArray, p503: FloatArray) -> FloatArray:
    """Return 200s per second, ``qps * p200``: the rules to deploy maximize it (paper, Table 2)."""
    return qps * p200


REWARDS: dict[str, Reward] = {"worst_case": worst_case, "best_case": best_case}


def register_reward(name: str, reward: Reward) -> None:
    """Give a reward a name, under which it can be used wherever a reward is a text.

    Raises:
        InvalidValueError: the name is taken, or isn't a word.
        UnknownNameError: an argument of the reward that is no outcome.
    """
    if not name.isidentifier() or name in REWARDS:
        raise InvalidValueError("name of a reward", name, f"a word other than {', '.join(REWARDS)}")
    REWARDS[name] = load_reward(reward)


def load_reward(reward: str | Reward) -> Reward:
    """Return the reward of a name or of ``"module:function"``, or a callable with a check of what it returns.

    The callable may raise ``InvalidValueError`` then: it returned NaN or infinity.

    Raises:
        UnknownNameError: an unknown name, or an argument that is no outcome.
        InvalidValueError: neither a name nor a callable.
    """
    if isinstance(reward, str):
        if reward in REWARDS:
            return REWARDS[reward]
        if ":" not in reward:
            raise UnknownNameError("reward", reward, [*REWARDS, "module:function"])
        return load_reward(imported("reward", reward))
    if not callable(reward):
        raise InvalidValueError("reward", reward, f"{', '.join(REWARDS)}, or a function of (qps, p200, p503)")
    if reward in REWARDS.values() or isinstance(reward, _Checked):
        return reward
    return _Checked(reward)


def imported(what: str, text: str) -> Any:
    """Return what ``"module:name"`` stands for; the module may lie in the working folder.

    Raises:
        InvalidValueError: no such module, or nothing of that name in it.
    """
    module, _, name = text.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidValueError(what, text, "module:function, which can be imported", f"{error}.") from error
    finally:
        sys.path.remove(here)


def apply_reward(
    reward: Reward, response: Response, settings: FloatArray | None = None, names: Sequence[str] = ()
) -> Any:
    """Return the rewards of a response, with the outcomes that the reward takes.

    Args:
        reward: of :func:`load_reward`.
        response: of one setting, or of many.
        settings: those, shape (..., columns), for a reward that takes a whole run.
        names: columns of the settings.

    Raises:
        InvalidValueError: the mesh or the simulator doesn't tell one of these outcomes, or rules and load aren't known
            here.
    """
    if takes_run(reward):
        if settings is None:
            raise InvalidValueError("reward", reward, "one of outcomes alone", "Rules and load aren't known here.")
        return reward(Run.of(settings, names, response))
    details = response.details or {}
    for name in further_needs(reward):
        if name not in details:
            told = ", ".join([*RESPONSE_NAMES, *details])
            raise InvalidValueError("outcome in the reward", name, f"one that this mesh or simulator tells: {told}")
    return reward(*response[: len(RESPONSE_NAMES)], *(details[name] for name in further_needs(reward)))


def takes_run(reward: Reward) -> bool:
    """Return whether a reward takes a whole run."""
    return isinstance(reward, _Checked) and reward.takes_run


def further_needs(reward: Reward) -> tuple[str, ...]:
    """Return the outcomes that a reward takes besides the first three."""
    return reward.needs if isinstance(reward, _Checked) else ()


class _Checked:
    """A reward that must return finite numbers.

    Attributes:
        takes_run: whether its one argument is a run.
        needs: the outcomes that it takes besides the first three.
    """

    def __init__(self, reward: Reward) -> None:
        self.reward = reward
        names = _arguments(reward)
        self.takes_run = len(names) == 1
        self.needs = () if self.takes_run else _outcomes(names[len(RESPONSE_NAMES) :])

    def __call__(self, *arguments: Any) -> FloatArray:
        found: FloatArray = self.reward(*arguments)
        if not np.isfinite(found).all():
            name = getattr(self.reward, "__qualname__", repr(self.reward))
            raise InvalidValueError(f"what the reward {name} returned", found, "finite numbers")
        return found


def _arguments(reward: Reward) -> tuple[str, ...]:
    """Return the names of a function's arguments that have no default."""
    try:
        parameters = inspect.signature(reward).parameters.values()
    except (TypeError, ValueError):  # it doesn't tell, as some that are written in C
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(one.name for one in parameters if one.kind in positional and one.default is one.empty)


def _outcomes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names; check that they are outcomes."""
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

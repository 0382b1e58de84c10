"""What an environment shows, asks for and rewards, and the checks that all environments share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshgym.errors import InvalidValueError, UnknownNameError

#: Every outcome that a mesh tells.
ALL = "all"
#: What a defender controls: the rules, under a load that it can't choose.
RULES_CONTROL = "rules"
#: What a single agent controls. Several agents control both.
DEFAULT_CONTROL = "calls"
DEFAULT_REWARD = "worst_case"
DEFAULT_CONTEXTS = "uniform"
#: PettingZoo's API tests pass this reset option to every environment; it has no meaning.
CHECKERS_OPTION = frozenset({"options"})
#: Environments in one batch.
_MOST = 1_000_000


@dataclass(frozen=True)
class Options:
    """What an environment shows, asks for and rewards; the same for every kind of environment.

    Attributes:
        control: what the agent chooses, see :data:`meshgym.envs.spaces.CONTROLS`, or ``"rules"``.
        reward: see :func:`meshgym.rewards.load_reward`.
        contexts: see :func:`meshgym.envs.contexts.load_contexts`.
        flat: see :class:`meshgym.envs.spaces.Actions`.
        outcomes: further outcomes in the info of a step, by name.
        normalised: whether observations are shown from 0 to 1 instead of in real units.
        regret: whether the info has ``oracle_reward``, the most that any action is expected to get, and ``regret``, by
            how much the chosen one is expected to get less.
        continuous: whether rules are chosen by numbers from 0 to 1.
    """

    control: str = DEFAULT_CONTROL
    reward: Any = DEFAULT_REWARD
    contexts: Any = DEFAULT_CONTEXTS
    flat: bool = False
    outcomes: str | Sequence[str] = ()
    normalised: bool = False
    regret: bool = False
    continuous: bool = False


def check_names(what: str, names: object, known: Sequence[str]) -> None:
    """Check that names are among those that are known.

    Raises:
        InvalidValueError: not a list of names.
        UnknownNameError: another name.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidValueError(f"{what}s", names, f"a list of names, or {ALL!r}")
    for name in names:
        if name not in known:
            raise UnknownNameError(what, name, known)


def check_count(name: str, value: object) -> int:
    """Return ``value`` as an int.

    Raises:
        InvalidValueError: it isn't a whole number 1..1000000; a million environments take some gigabytes.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= _MOST:
        raise InvalidValueError(name, value, f"a whole number 1..{_MOST}")
    return int(value)


def refuse_options(options: Mapping[str, Any] | None, ignored: frozenset[str] = frozenset()) -> None:
    """Raise if reset options were given, because no environment has any.

    Raises:
        InvalidValueError: an option that isn't in ``ignored``.
    """
    if options and not set(options) <= ignored:
        raise InvalidValueError("reset options", list(options), "none", "Arguments go to the constructor.")

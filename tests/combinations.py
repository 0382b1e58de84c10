"""Every id and every list of services with every combination of arguments; several test files use it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest

from meshgym.envs.spaces import CONTROLS
from meshgym.rewards import REWARDS
from meshgym.scenarios import SCENARIO_NAMES, Scenario
from meshgym.types import RULE_NAMES

Arguments = dict[str, Any]

RENDER_MODES = (None, "ansi", "rgb_array")
ORDERS = [("threads", "calls"), ("calls", "threads")]
_SERVICES = [["shop"], ["shop", "shop"], list(SCENARIO_NAMES)]


def of_ids(kind: str, render_modes: tuple[str | None, ...] = RENDER_MODES) -> list[Any]:
    """Parameters ``(id, arguments)`` of all ids of a kind; the one without a scenario is for the shop."""
    return _parameters(
        (f"{kind}{middle}-v0", arguments)
        for middle in ("", *(f"-{name}" for name in SCENARIO_NAMES))
        for arguments in _combinations(own=not middle, control=CONTROLS, render_mode=render_modes)
    )


def of_services(**more: Any) -> list[Any]:
    """Parameters ``(services, arguments)`` of a multi-agent environment; ``more`` has the values of an argument."""
    return _parameters(
        (services, arguments)
        for services in _SERVICES
        for arguments in _combinations("shop" in services, beta=[0, 0.5], render_mode=RENDER_MODES, **more)
    )


def complete(arguments: Arguments, shop: Scenario) -> Arguments:
    """``"own"`` contexts as what they stand for: the shop's two corners."""
    corners = [[getattr(shop.rules[name], end) for name in RULE_NAMES] for end in ("low", "high")]
    return {**arguments, "contexts": corners} if arguments["contexts"] == "own" else arguments


def _combinations(own: bool, **more: Any) -> list[Arguments]:
    values = {"reward": REWARDS, "contexts": ["uniform", "walk", "own" if own else "traces"], **more}
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def _parameters(pairs: Iterable[tuple[Any, Arguments]]) -> list[Any]:
    """Name the parameters. Only one in seven is quick: 7 goes into no number of values, so each value occurs."""
    found = []
    for number, (first, arguments) in enumerate(pairs):
        name = first if isinstance(first, str) else "+".join(first)
        marks = pytest.mark.slow if number % 7 else ()
        found.append(pytest.param(first, arguments, id="-".join(map(str, (name, *arguments.values()))), marks=marks))
    return found

"""The options of a plan that grows as results come in."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from meshgym.cli.console import Count
from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario

if TYPE_CHECKING:
    from meshgym.adaptive.plan import AdaptivePlan

_GROUP = Group(
    "A plan that grows as results come in",
    help="See docs/how-to/few-runs.md. It asks for the runs that matter most, and ends when they are enough.",
    sort_key=40,
)


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Which runs to make.

    Attributes:
        plan: random, which covers the ranges, or adaptive, which asks for what the goal needs.
        goal: worst-load (the load that breaks the service under each rules), rules (those that hold under each load),
            or map (all settings alike).
        runs: the most runs of an adaptive plan.
        regret: end an adaptive plan earlier, once a decision costs less than this share, with 95 % certainty.

    Raises:
        InvalidValueError: an option of an adaptive plan without ``plan="adaptive"``.
    """

    plan: Literal["random", "adaptive"] = "random"
    goal: Literal["worst-load", "rules", "map"] = "worst-load"
    runs: Count = 150
    regret: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] | None = None

    def __post_init__(self) -> None:
        given = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        if self.plan == "random" and given:
            raise InvalidValueError(f"--{given[0]}", getattr(self, given[0]), "only with --plan adaptive")

    def planner(self, scenario: Scenario, rows: int | None, seed: int) -> AdaptivePlan | None:
        """Return the adaptive plan; None for a random one.

        Raises:
            InvalidValueError: ``rows`` is given, which is the number of a random plan's.
        """
        if self.plan == "random":
            return None
        if rows is not None:
            raise InvalidValueError("--rows", rows, "only for a random plan", "An adaptive one has --runs.")
        from meshgym.adaptive.plan import AdaptivePlan

        return AdaptivePlan(scenario, self.goal, self.runs, seed, self.regret)

"""Which runs to make: what a plan costs, and the options of one that grows as results come in."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from meshgym.cli.console import Count, Several
from meshgym.cli.mesh_options import Lanes
from meshgym.errors import InvalidValueError
from meshgym.scenarios import SCENARIO_NAMES, Scenario, load_scenario

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
        most_503: go from gentle to harsh, and make no run that is likely to get a higher share of 503s than this; see
            also --max-p503, after which nothing is sent.
        most_rate: likewise, no run that is likely to get more responses per second.

    Raises:
        InvalidValueError: an option of an adaptive plan without ``plan="adaptive"``.
    """

    plan: Literal["random", "adaptive"] = "random"
    goal: Literal["worst-load", "rules", "map"] = "worst-load"
    runs: Count = 150
    regret: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] | None = None
    most_503: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] | None = None
    most_rate: Annotated[float, Parameter(validator=Number(gt=0))] | None = None

    def __post_init__(self) -> None:
        given = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        if self.plan == "random" and given:
            raise InvalidValueError(
                f"--{given[0].replace('_', '-')}", getattr(self, given[0]), "only with --plan adaptive"
            )

    def planner(self, scenario: Scenario, rows: int | None, seed: int) -> AdaptivePlan | None:
        """Return the adaptive plan; None for a random one.

        Raises:
            InvalidValueError: ``rows`` is given, which is the number of a random plan's.
        """
        if self.plan == "random":
            return None
        if rows is not None:
            raise InvalidValueError("--rows", rows, "only for a random plan", "An adaptive one has --runs.")
        from meshgym.adaptive.caution import Caution
        from meshgym.adaptive.plan import AdaptivePlan

        limits = {"most_503": self.most_503, "most_rate": self.most_rate}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        return AdaptivePlan(scenario, self.goal, self.runs, seed, self.regret, Caution(**given) if given else None)


def plan(
    scenario: str = "S1",
    *,
    runs: Annotated[tuple[Count, ...], Several] = (60, 120, 240),
    simulator: str | None = None,
    overhead: Annotated[float, Parameter(validator=Number(gte=0))] = 0.2,
    lanes: Lanes = 1,
) -> None:
    """Tell what a collection costs before its first run, and when it pays off.

    Args:
        scenario: S1..S5 or a .toml file.
        runs: numbers of runs to compare; the scenario's own comes last.
        simulator: S1..S5 or the file of a simulator of a similar service, which knows how fast that responds (default:
            the bundled one, or else the scenario's service profile).
        overhead: seconds that a run takes besides its load; about 0.2 in the embedded mesh, 1.6 in a cluster.
        lanes: settings that are measured at once.
    """
    import pandas as pd

    from meshgym.adaptive.worth import DIRECT, cost
    from meshgym.simulator import load_simulator

    chosen = load_scenario(scenario)
    known = simulator or (chosen.name if scenario in SCENARIO_NAMES else None)
    similar = load_simulator(known) if known else None
    costs = [cost(chosen, one, similar, overhead) for one in dict.fromkeys([*runs, chosen.rows])]
    rows = {
        "runs": [f"{one.runs:,}" for one in costs],
        "calls": [f"{one.calls:,}" for one in costs],
        "about": ["-" if one.seconds is None else in_words(one.seconds / lanes) for one in costs],
        "pays off from sets of rules": ["{}..{}".format(*one.sets) for one in costs],
    }
    print(pd.DataFrame(rows).to_string(index=False))
    print(
        "For fewer sets of rules, search each of them directly: meshagents recommend --direct takes "
        f"{DIRECT[0]} to {DIRECT[1]} runs for one."
    )
    if costs[0].seconds is None:
        print("-: nothing tells how fast the service responds; give the simulator of a similar one (--simulator).")


def in_words(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

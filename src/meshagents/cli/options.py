"""Options that several commands share, and those of the quickstart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.recommend import request as recommend
from meshgym.cli.console import Count, Seed, Several
from meshgym.cli.mesh_options import Lanes


def _jobs(_: object, value: int) -> None:
    if value != -1 and not 1 <= value <= 1000:
        raise ValueError("Must be -1 or in 1..1000.")


#: Scenarios, with ``=FILE`` for a simulator.
Tasks = Annotated[tuple[str, ...], Several]
#: How many contexts a validation draws; an interval needs two.
Contexts = Annotated[int, Parameter(validator=Number(gte=2, lte=1_000_000))]
#: Processes; -1 for one per core.
Jobs = Annotated[int, Parameter(validator=_jobs)]
Learner = Annotated[Hyperparameters, Parameter(name="*", group=Group("Hyperparameters", sort_key=40))]
HYPERPARAMETERS = Hyperparameters()
Request = Annotated[recommend.Request, Parameter(name="*")]
REQUEST = recommend.Request()


@Parameter(name="*", group=Group("An agent from outside", sort_key=45))
@dataclass(frozen=True, kw_only=True)
class FromOutside:
    """What an agent from outside is for; a file of meshagents knows that by itself.

    Attributes:
        task: S1..S5 or a .toml file, with =FILE for another simulator than the bundled one.
        control: what it decides: pace, calls or both.
        normalised: it observes numbers from 0 to 1.
    """

    task: str | None = None
    control: str = "both"
    normalised: bool = False


@Parameter(name="*")
@dataclass(frozen=True)
class Quickstart:
    """What to do.

    Attributes:
        scenario: S1..S5 or a .toml file with a service profile.
        configuration: who decides what: Call, Thread, Thread&Call, Thread-Call or Call-Thread.
        runs: the runs of an adaptive plan, at least 40, see ``meshgym collect --plan adaptive``.
        contexts: sets of rules to validate under, at least 2; each policy makes one run under each.
        lanes: settings that the embedded mesh measures at once, 1..64, to collect and to validate.
        epochs: epochs of training, at least 1.
        slo: objectives, such as "success>90%", whose edge is looked for at the end.
        seed: seed of plan, training and validation.
    """

    scenario: str = "S1"
    configuration: str = "Thread-Call"
    runs: Annotated[int, Parameter(validator=Number(gte=40, lte=2000))] = 120
    contexts: Contexts = 25
    lanes: Lanes = 8
    epochs: Count = HYPERPARAMETERS.epochs
    slo: Annotated[tuple[str, ...], Several] = ("success>90%",)
    seed: Seed = 0


QUICKSTART = Quickstart()

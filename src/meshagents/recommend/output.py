"""A recommendation as text, JSON and a DestinationRule."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from meshagents.recommend.curve import Curve
from meshagents.recommend.outside import in_words
from meshagents.recommend.page import front_table, to_page
from meshagents.recommend.search import ALIKE, Expected, Recommendation
from meshagents.statistics import Interval, markdown, mean_interval
from meshgym.files import to_json, write_together
from meshgym.mesh.base import Mesh
from meshgym.rules.destination_rule import DestinationRule
from meshgym.rules.route import virtual_service
from meshgym.rules.yaml_text import to_text
from meshgym.simulator import Identity
from meshgym.slo.objective import margin
from meshgym.types import Load, Progress, Response, TrafficRules


@dataclass(frozen=True)
class Run:
    """One measured run of an expected load."""

    expected: Expected
    response: Response

    def inside(self, name: str) -> bool:
        """Return whether ``qps`` or ``p503`` lies within its expected interval."""
        expected = getattr(self.expected, name)
        return expected is not None and bool(expected.low <= getattr(self.response, name) <= expected.high)


@dataclass(frozen=True)
class Change:
    """What a recommendation changes in a cluster.

    Attributes:
        before: the DestinationRule as it is.
        policy: the ``trafficPolicy`` that is merged into it.
    """

    before: DestinationRule
    policy: Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """A recommendation and all that belongs to it.

    Attributes:
        advice: what was found.
        destination_rule: its rules as an object of a cluster.
        url: URL that Fortio calls.
        scenario: name of the scenario.
        simulator: which one predicted the responses; None after a direct search.
        drawn: what it expects over the load; None if nothing.
        said: what was taken from a file although nobody chose it.
        change: what it changes in a cluster; None outside one.
        runs: measured runs, added as they come.
    """

    advice: Recommendation
    destination_rule: DestinationRule
    url: str
    scenario: str
    simulator: Identity | None
    said: tuple[str, ...] = ()
    change: Change | None = None
    drawn: Curve | None = None
    runs: list[Run] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """How many measured runs kept the objectives; 0 without any."""
        within = self.advice.within
        return sum(bool(margin(within.objectives, run.response) >= 0) for run in self.runs) if within else 0

    def virtual_service(self) -> dict[str, Any] | None:
        """Return the route's part of the rules as an object of a cluster; None if there is none."""
        rule = self.destination_rule
        return virtual_service(self.advice.rules, rule.name, rule.namespace, rule.spec["host"])

    def measure(
        self, mesh: Mesh, rules: TrafficRules, repeats: int, progress: Progress = lambda done, total: None
    ) -> None:
        """Send every load ``repeats`` times, in turns; add each run when it is done.

        Args:
            mesh: an open one.
            rules: what to put in force.
            repeats: runs of each load.
            progress: called after each run.

        Raises:
            MeshError: the mesh failed.
        """
        turns = list(self.advice.expected) * repeats
        for done, expected in enumerate(turns, start=1):
            self.runs.append(Run(expected, mesh.measure(rules, expected.load)))
            progress(done, len(turns))

    def to_html(self) -> str:
        """Return the recommendation as a page, see :func:`meshagents.recommend.page.to_page`."""
        advice, within = self.advice, self.advice.within
        rules = {name: in_words(value) for name, value in advice.rules.to_dict().items()}
        commands = "\n".join([*_apply(self), *(fortio(one.load, self.url) for one in advice.expected)])
        blocks: list[Any] = [
            ("Rules", rules),
            ("The DestinationRule, destination-rule.yaml", self.destination_rule.to_yaml()),
            ("Put it in force, and test it", commands),
        ]
        if self.simulator:
            blocks.append(
                ("Expected, with the intervals of 90 % of single runs", pd.DataFrame(map(_expected, advice.expected)))
            )
        if self.runs:
            measured = pd.DataFrame([_measured(expected, self.runs) for expected in advice.expected])
            blocks.append(("Measured: means with their 95 % intervals", measured))
        return to_page(
            f"Recommendation for {self.scenario}",
            [
                *(f"{sentence}." for sentence in self.said),
                *_objectives(self),
                *([] if within else [_how_rules(advice)]),
            ],
            blocks,
            drawn=self.drawn,
            chosen=within.load if within else advice.expected[0].load,
            objectives=within.objectives if within else (),
            front=within.front if within else (),
            measured=[(run.expected.load, run.response) for run in self.runs],
        )

    def write(self, folder: Path) -> list[Path]:
        """Write ``destination-rule.yaml``, and ``recommendation`` as .html, .json and .md.

        With rules of a route, ``virtual-service.yaml``, too.

        Raises:
            FolderError: the files can't be written.
        """
        route = self.virtual_service()
        return write_together(
            {
                **({folder / "virtual-service.yaml": to_text(route).encode()} if route else {}),
                folder / "destination-rule.yaml": self.destination_rule.to_yaml().encode(),
                folder / "recommendation.html": self.to_html().encode(),
                folder / "recommendation.md": to_markdown(self).encode(),
                folder / "recommendation.json": to_json(to_dict(self)),
            }
        )


def fortio(load: Load, url: str) -> str:
    """Return the command that sends a load.

    ``-qps 0`` is full speed on the command line (over Fortio's REST API it is -1, and 0 means 8 per second). With
    ``-n`` there is no warm-up call, on whose 503 it would give up.
    """
    pace = f"-qps {load.rate_per_s:g} -uniform -nocatchup" if load.open else "-qps 0"
    return f"fortio load -c {load.connections} -n {load.calls} {pace} -loglevel Warning {shlex.quote(url)}"


def to_markdown(report: Report) -> str:
    """Return all a reader needs, commands included."""
    advice = report.advice
    rules = [{"rule": name, "value": in_words(value)} for name, value in advice.rules.to_dict().items()]
    beyond = any(expected.qps is None for expected in advice.expected)
    parts = [
        f"# Recommendation for {report.scenario}",
        *(f"Note: {sentence}." for sentence in report.said),
        *_objectives(report),
        _how_rules(advice),
        _table(rules),
        "\n".join(f"    {command}" for command in _apply(report)),
        *_into_the_cluster(report),
        f"Found by {advice.direct} runs, each of the load that those before made likely, of {advice.loads} loads:"
        if advice.direct
        else "The load:"
        if advice.within
        else f"Loads tried: {advice.loads}. The most 503s per second first:",
        "\n".join(f"    {fortio(expected.load, report.url)}" for expected in advice.expected),
    ]
    if report.simulator:
        parts += [
            _table([_expected(expected) for expected in advice.expected]),
            "Predicted by the simulator; the intervals hold 90 % of single runs."
            + "\n-: outside the traces that the simulator learned from; measure it (--measure)." * beyond,
        ]
    if advice.within and advice.within.front:
        parts += [
            "The best compromises between success, p99 and 200s per second, as expected of all rules and loads tried:",
            markdown(front_table(advice.within.front)),
        ]
    if report.runs:
        parts += [
            _table([_measured(expected, report.runs) for expected in advice.expected]),
            "Measured, after the search: means with their 95 % intervals."
            if advice.direct
            else "Measured: means with their 95 % intervals, and how many runs lie within the expected interval.",
        ]
    return "\n\n".join(parts) + "\n"


def _apply(report: Report) -> list[str]:
    """Return the commands that put the files in force."""
    files = ["destination-rule.yaml", *(["virtual-service.yaml"] if report.virtual_service() else [])]
    return [f"kubectl apply -f {file}" for file in files]


def _objectives(report: Report) -> list[str]:
    within = report.advice.within
    if not within:
        return []
    slo = ", ".join(objective.text for objective in within.objectives)
    if within.given:
        text = (
            f"Within {slo}, with 95 % certainty. Of {within.tried:,} sets of rules that were tried, these keep that\n"
            f"under all loads given with the largest margin: {within.margin:.0%} of what comes first."
        )
    else:
        text = (
            f"Within {slo}, with 95 % certainty. Of {within.tried:,} sets of rules and {report.advice.loads} loads\n"
            f"that were tried, these carry the most 200s per second: {within.goodput:.0f} are expected.\n"
            f"Under these rules, {within.share:.0%} of the loads keep the objectives."
        )
    return [text, *([f"Measured: kept in {report.kept} of {len(report.runs)} runs."] if report.runs else [])]


def _into_the_cluster(report: Report) -> list[str]:
    """Say what that changes in the cluster, and how to change nothing else whatever happens there meanwhile."""
    if report.change is None:
        return []
    rule = report.change.before
    patch = json.dumps({"spec": {"trafficPolicy": report.change.policy}})
    now, then = (one.to_yaml().splitlines() for one in (rule, report.destination_rule))
    changes = list(difflib.unified_diff(now, then, "as it is now", "as recommended", lineterm=""))
    named = ["destinationrule", rule.name, "-n", rule.namespace]
    return [
        f"It is {rule.title} as it is in the cluster, with these rules. To change only them:",
        "    " + shlex.join(["kubectl", "patch", *named, "--type", "merge", "-p", patch]),
        "What changes:",
        "\n".join(f"    {line}" for line in changes) or "    nothing",
    ]


def _how_rules(advice: Recommendation) -> str:
    found = advice.search
    if advice.within:
        return "The rules:"
    if found is None:
        return "The rules given:"
    tried = f"all {found.total:,}" if found.tried == found.total else f"{found.tried:,} drawn of {found.total:,}"
    over = {"worst": "smallest share over", "mean": "mean share over"}[found.criterion]
    return (
        f"The best of {tried} combinations of rules. Each is compared by its 200s per second, as a share of the most\n"
        f"that any of them gets under the same load; {over} the loads: {found.score:.1%}\n"
        f"(of all: highest {found.highest:.1%}, median {found.median:.1%}, lowest {found.lowest:.1%}).\n"
        f"Of those within {ALIKE:.0%} of the highest, these have the fewest 503s per second under their worst load."
    )


def _table(rows: Sequence[dict[str, str]]) -> str:
    return markdown(pd.DataFrame(rows))


def _expected(expected: Expected) -> dict[str, str]:
    return {
        **{name: f"{getattr(expected.load, name):g}" for name in expected.load.names},
        "requests/s": _rate(expected.qps),
        "share of 503s": _share(expected.p503),
        "503s/s": "-" if expected.qps is None else f"{expected.harm:.1f}",
    }


def _measured(expected: Expected, runs: Sequence[Run]) -> dict[str, str]:
    own = [run for run in runs if run.expected == expected]
    qps, p503 = ([getattr(run.response, name) for run in own] for name in ("qps", "p503"))
    inside = {
        f"{title} as expected": f"{sum(run.inside(name) for run in own)} of {len(own)}"
        for name, title in (("qps", "requests/s"), ("p503", "503s"))
        if expected.qps is not None
    }
    return {
        **{name: f"{getattr(expected.load, name):g}" for name in expected.load.names},
        "requests/s": _rate(mean_interval(qps)) if own else "-",
        "share of 503s": _share(mean_interval(p503)) if own else "-",
        **inside,
    }


def _rate(value: Interval | None) -> str:
    return "-" if value is None else f"{value.estimate:.0f} [{value.low:.0f}, {value.high:.0f}]"


def _share(value: Interval | None) -> str:
    return "-" if value is None else f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]"


def to_dict(report: Report) -> dict[str, Any]:
    """Return the recommendation as plain values for JSON; intervals as estimate, low and high."""
    advice = report.advice
    return {
        "simulator": asdict(report.simulator) if report.simulator else None,
        "direct": advice.direct,
        "within": advice.within.to_dict() if advice.within else None,
        "kept": report.kept if advice.within and report.runs else None,
        "rules": advice.rules.to_dict(),
        "search": asdict(advice.search) if advice.search else None,
        "loads_tried": advice.loads,
        "loads": [
            {
                **asdict(expected),
                "load": expected.load.to_dict(),
                "fortio": fortio(expected.load, report.url),
                "measured": [run.response.to_dict() for run in report.runs if run.expected == expected],
            }
            for expected in advice.expected
        ],
    }

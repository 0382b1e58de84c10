"""A recommendation as text, JSON and a DestinationRule."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd

from meshagents.recommend.search import ALIKE, Expected, Recommendation
from meshagents.statistics import Interval, mean_interval
from meshgym.files import write_json, write_text
from meshgym.mesh.destination_rule import DestinationRule
from meshgym.simulator import Identity
from meshgym.types import Load, Response


@dataclass(frozen=True)
class Run:
    """One measured run of an expected load."""

    expected: Expected
    response: Response

    def inside(self, name: str) -> bool:
        """Return whether ``qps`` or ``p503`` lies within its expected interval."""
        expected = getattr(self.expected, name)
        return bool(expected.low <= getattr(self.response, name) <= expected.high)


@dataclass(frozen=True)
class Report:
    """A recommendation and what belongs to it.

    Attributes:
        advice: what was found.
        destination_rule: its rules, for a cluster.
        url: where Fortio sends the load.
        simulator: identity of the simulator that predicted it.
        runs: measured runs, added as they come.
    """

    advice: Recommendation
    destination_rule: DestinationRule
    url: str
    simulator: Identity
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def of(cls, advice: Recommendation, names: dict[str, str], url: str | None, simulator: Identity) -> Self:
        """Make a report.

        Args:
            advice, simulator: see the attributes.
            names: name, namespace and host of the DestinationRule.
            url: where Fortio sends the load; None for httpbin's at the host.
        """
        url = url or f"http://{names['host']}:8000/get"
        return cls(advice, DestinationRule(**names, rules=advice.rules), url, simulator)

    def write(self, folder: Path) -> list[Path]:
        """Write ``destination-rule.yaml``, ``recommendation.md`` and ``recommendation.json``.

        Raises:
            FolderError: a file can't be written.
        """
        return [
            write_text(folder / "destination-rule.yaml", self.destination_rule.to_yaml()),
            write_text(folder / "recommendation.md", markdown(self)),
            write_json(folder / "recommendation.json", to_dict(self)),
        ]


def fortio(load: Load, url: str) -> str:
    """Return the command that sends a load.

    ``-qps 0`` means full speed on the command line (in Fortio's REST API that is -1, and 0 means 8 per second). With
    ``-n`` there is no warm-up request, which Fortio would give up after if it got a 503.
    """
    return f"fortio load -c {load.threads} -n {load.calls} -qps 0 -loglevel Warning {shlex.quote(url)}"


def markdown(report: Report) -> str:
    """Return everything a reader needs, with the commands."""
    advice = report.advice
    rules = [(name, f"{value:g}") for name, value in advice.rules.to_dict().items()]
    columns = ["threads", "calls", "requests/s", "share of 503s", "503s/s"]
    parts = [
        f"# Recommendation for {report.simulator.scenario}",
        _how_rules(advice),
        _table(["rule", "value"], rules),
        "    kubectl apply -f destination-rule.yaml",
        f"Loads tried: {advice.loads}. Most 503s per second first:",
        "\n".join(f"    {fortio(expected.load, report.url)}" for expected in advice.expected),
        _table(columns, [_expected(one) for one in advice.expected]),
        "Expected by the simulator; the intervals hold 90 % of single runs."
        + "\n*: outside the traces that the simulator learned from; its intervals don't hold there."
        * any(expected.outside for expected in advice.expected),
    ]
    if report.runs:
        columns = ["threads", "calls", "requests/s", "share of 503s", "requests/s as expected", "503s as expected"]
        parts += [
            _table(columns, [_measured(expected, report.runs) for expected in advice.expected]),
            "Measured: means with their 95 % intervals, and how many runs lie within the expected interval.",
        ]
    return "\n\n".join(parts) + "\n"


def _how_rules(advice: Recommendation) -> str:
    found = advice.search
    if found is None:
        return "The rules given:"
    tried = f"all {found.total:,}" if found.tried == found.total else f"{found.tried:,} drawn of {found.total:,}"
    over = {"worst": "the smallest share over", "mean": "the mean share over"}[found.criterion]
    return (
        f"The best of {tried} combinations of rules. Under each load, a combination's 200s per second\n"
        f"are a share of the most that any combination gets; its score is {over} the loads: {found.score:.1%}\n"
        f"(of all: highest {found.highest:.1%}, median {found.median:.1%}, lowest {found.lowest:.1%}).\n"
        f"Of those within {ALIKE:.0%} of the highest, these have the fewest 503s per second under their worst load."
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return pd.DataFrame(rows, columns=list(columns)).to_markdown(index=False, disable_numparse=True)


def _expected(expected: Expected) -> list[str]:
    mark = "*" if expected.outside else ""
    values = [_rate(expected.qps), _share(expected.p503), f"{expected.harm:.1f}"]
    return [f"{expected.load.threads}{mark}", str(expected.load.calls), *values]


def _measured(expected: Expected, runs: Sequence[Run]) -> list[str]:
    own = [run for run in runs if run.expected == expected]
    means = ["-", "-"]
    if own:
        means = [
            _rate(mean_interval([run.response.qps for run in own])),
            _share(mean_interval([run.response.p503 for run in own])),
        ]
    inside = [f"{sum(run.inside(name) for run in own)} of {len(own)}" for name in ("qps", "p503")]
    return [str(expected.load.threads), str(expected.load.calls), *means, *inside]


def _rate(value: Interval) -> str:
    return f"{value.estimate:.0f} [{value.low:.0f}, {value.high:.0f}]"


def _share(value: Interval) -> str:
    return f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]"


def to_dict(report: Report) -> dict[str, Any]:
    """Return the recommendation as plain values; intervals as estimate, low and high."""
    advice = report.advice
    return {
        "simulator": asdict(report.simulator),
        "rules": advice.rules.to_dict(),
        "search": asdict(advice.search) if advice.search else None,
        "loads_tried": advice.loads,
        "loads": [
            {
                **asdict(expected),
                "fortio": fortio(expected.load, report.url),
                "measured": [run.response.to_dict() for run in report.runs if run.expected == expected],
            }
            for expected in advice.expected
        ],
    }

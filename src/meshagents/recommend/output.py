"""A recommendation as text, JSON and a DestinationRule."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from meshagents.recommend.measure import Run
from meshagents.recommend.search import ALIKE, Expected, Recommendation
from meshagents.statistics import Interval, mean_interval
from meshgym.errors import FolderError
from meshgym.mesh.destination_rule import DestinationRule
from meshgym.simulator import Identity
from meshgym.types import Load


@dataclass(frozen=True)
class Report:
    """A recommendation and what belongs to it.

    Attributes:
        advice: what was found.
        rule: its rules as a resource of a cluster.
        url: where Fortio sends the load.
        simulator: what was asked.
        runs: measured ones, added as they come.
    """

    advice: Recommendation
    rule: DestinationRule
    url: str
    simulator: Identity
    runs: list[Run] = field(default_factory=list)

    def write(self, folder: Path) -> list[Path]:
        """Write ``destination-rule.yaml``, ``recommendation.md`` and ``recommendation.json``.

        Raises:
            FolderError: the files cannot be written.
        """
        texts = {
            "destination-rule.yaml": self.rule.to_yaml(),
            "recommendation.md": markdown(self),
            "recommendation.json": json.dumps(to_dict(self), indent=2) + "\n",
        }
        try:
            for name, text in texts.items():
                (folder / name).write_text(text, "utf-8")
        except OSError as error:
            raise FolderError(f"cannot write to {folder} ({error.strerror}); choose another folder") from error
        return [folder / name for name in texts]


def fortio(load: Load, url: str) -> str:
    """The command that sends a load.

    ``-qps 0`` is full speed on the command line (over Fortio's REST API it is -1, and 0 means 8 a second); with
    ``-n`` there is no warm-up call that a 503 would make it give up at.
    """
    return f"fortio load -c {load.threads} -n {load.calls} -qps 0 -loglevel Warning {shlex.quote(url)}"


def markdown(report: Report) -> str:
    """Everything a reader needs, the commands included."""
    advice = report.advice
    lines = [
        f"# Recommendation for {report.simulator.scenario}",
        "",
        *_how_rules(advice),
        "",
        *_table(["rule", "value"], [[name, f"{value:g}"] for name, value in advice.rules.to_dict().items()]),
        "",
        "    kubectl apply -f destination-rule.yaml",
        "",
        f"Loads looked at: {advice.loads}. Most 503s a second first:",
        "",
        *(f"    {fortio(expected.load, report.url)}" for expected in advice.expected),
        "",
        *_table(["threads", "calls", "answers/s", "share of 503s", "503s/s"], map(_expected, advice.expected)),
        "",
        "Expected by the simulator; the intervals hold 90 % of single runs.",
    ]
    if any(expected.outside for expected in advice.expected):
        lines += ["*: outside the traces the simulator learned from; its intervals do not hold there."]
    if report.runs:
        columns = ["threads", "calls", "answers/s", "share of 503s", "answers/s as expected", "503s as expected"]
        rows = [_measured(expected, report.runs) for expected in advice.expected]
        meaning = "Measured: means with their 95 % intervals, and how many runs lie within the expected interval."
        lines += ["", *_table(columns, rows), "", meaning]
    return "\n".join(lines) + "\n"


def _how_rules(advice: Recommendation) -> list[str]:
    found = advice.search
    if found is None:
        return ["The rules given:"]
    tried = f"all {found.total:,}" if found.tried == found.total else f"{found.tried:,} drawn of {found.total:,}"
    over = {"worst": "smallest share over", "mean": "mean share over"}[found.criterion]
    return [
        f"The best of {tried} combinations of rules, compared by their 200s a second as a share of the most",
        f"that any of them gets under the same load; {over} the loads: {found.score:.1%}",
        f"(of all: highest {found.highest:.1%}, median {found.median:.1%}, lowest {found.lowest:.1%}).",
        f"Of those within {ALIKE:.0%} of the highest, these have the fewest 503s a second under their worst load.",
    ]


def _table(columns: Sequence[str], rows: Any) -> list[str]:
    """A table that reads as Markdown and in a terminal."""
    cells = [list(columns), *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _expected(said: Expected) -> list[str]:
    mark = "*" if said.outside else ""
    values = [_rate(said.qps), _share(said.p503), f"{said.harm:.1f}"]
    return [f"{said.load.threads}{mark}", str(said.load.calls), *values]


def _measured(said: Expected, runs: Sequence[Run]) -> list[str]:
    own = [run for run in runs if run.expected == said]
    means = ["-", "-"]
    if own:
        means = [
            _rate(mean_interval([run.response.qps for run in own])),
            _share(mean_interval([run.response.p503 for run in own])),
        ]
    inside = [f"{sum(run.inside(name) for run in own)} of {len(own)}" for name in ("qps", "p503")]
    return [str(said.load.threads), str(said.load.calls), *means, *inside]


def _rate(value: Interval) -> str:
    return f"{value.estimate:.0f} [{value.low:.0f}, {value.high:.0f}]"


def _share(value: Interval) -> str:
    return f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]"


def to_dict(report: Report) -> dict[str, Any]:
    """The recommendation as JSON has it; intervals as estimate, low and high."""
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

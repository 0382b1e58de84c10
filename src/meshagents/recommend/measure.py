"""Measure on a live mesh what a recommendation expects."""

from __future__ import annotations

from meshagents.recommend.output import Report, Run
from meshgym.errors import InvalidValueError
from meshgym.mesh.base import Mesh
from meshgym.types import Progress


def measure(mesh: Mesh, report: Report, repeats: int, progress: Progress = lambda done, total: None) -> None:
    """Send every load of a recommendation ``repeats`` times, in turn; add each run to the report.

    Args:
        mesh: an open live mesh.
        report: gets the runs.
        repeats: runs of each load, at least 1.
        progress: called after every run.

    Raises:
        InvalidValueError: repeats below 1.
        MeshError: the mesh couldn't respond.
    """
    if repeats < 1:
        raise InvalidValueError("repeats", repeats, "at least 1")
    advice = report.advice
    for _ in range(repeats):
        for expected in advice.expected:
            report.runs.append(Run(expected, mesh.measure(advice.rules, expected.load)))
            progress(len(report.runs), repeats * len(advice.expected))

"""Every error this project raises on purpose::

    MeshGymError
    |-- InvalidValueError (ValueError)      a value outside what is allowed
    |   `-- UnknownNameError                a name that is not in a finite list
    |-- MissingDependencyError (ImportError) an optional package is not installed
    |-- FileError                           a file that is missing, damaged or of another kind
    |   |-- TraceError                      a trace set or collection
    |   `-- SimulatorError                  a simulator, or one made for something else
    |-- FolderError (OSError)               a folder that cannot be written
    |-- MeshError                           a mesh that did not do what was asked
    |   |-- MeshStartError                  a process of the mesh did not start
    |   |-- RulesRefusedError               the proxy refused the traffic rules
    |   |-- LoadError                       the load could not be sent or did not finish
    |   |   `-- DisturbedError              something got in the way meanwhile
    |   `-- ClusterError                    a cluster's API server or sidecar that didn't respond as it should
    |       |-- AccessDeniedError           a missing right
    |       `-- ConflictError               an object that changed since it was last read
    |-- AwayError                           a part of a cluster that doesn't respond for now
    |-- LimitError                          a limit on what a service may suffer, reached
    |-- IncompleteError                     a collection without some of its runs
    |-- OutsideError                        a question about what was not measured
    |-- FindingsError                       a rule with findings that were not to be
    |-- SloError                            objectives that a service doesn't keep
    |-- RestoreError                        a DestinationRule that is on loan, and not given back
    |   `-- DestinationRuleChangedError     somebody else changed it in the meantime
    `-- DryRun                              what would have been sent if it were not a dry run

Each message names the value, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable


class MeshGymError(Exception):
    """Base of all errors raised on purpose."""


class InvalidValueError(MeshGymError, ValueError):
    """``what`` is ``value``, but only ``allowed`` is allowed; ``remedy`` says what to do about it."""

    def __init__(self, what: str, value: object, allowed: str, remedy: str = "") -> None:
        super().__init__(what, value, allowed, remedy)
        self.what, self.value, self.allowed, self.remedy = what, value, allowed, remedy

    def __str__(self) -> str:
        end = f" {self.remedy}" if self.remedy else ""
        return f"{self.what} is {short(self.value)}; allowed: {self.allowed}.{end}"


def short(value: object) -> str:
    """Return a value as Python writes it; what is long, wide or deep is cut."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 200
    short.maxlist = short.maxtuple = short.maxdict = 20
    return short.repr(value)


def clean(text: object, most: int = 300) -> str:
    """Return what came from outside as one line of printable characters, at most ``most`` of them."""
    line = " ".join(str(text)[: 4 * most].split())
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
    return line if len(line) <= most else f"{line[: most - 3]}..."


class UnknownNameError(InvalidValueError):
    """``value`` is not a known ``what``; the message lists the ``known`` names and suggests the nearest one."""

    def __init__(self, what: str, value: object, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(str(value), names, n=1)
        super().__init__(what, value, ", ".join(names), f"Did you mean {near[0]!r}?" if near else "")
        self.known = names

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, object, list[str]]]:
        return type(self), (self.what, self.value, self.known)


class MissingDependencyError(MeshGymError, ImportError):
    """``purpose`` needs ``package``; the message names the ``extra`` that installs it."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(package, purpose, extra)
        self.package, self.purpose, self.extra = package, purpose, extra

    def __str__(self) -> str:
        return (
            f"{self.purpose} needs the package {self.package!r}, which is not installed. "
            f"Install it with: pip install 'meshgym[{self.extra}]'"
        )


class FileError(MeshGymError):
    """A file that is missing, damaged or of another kind; the message names it."""


class TraceError(FileError):
    """A trace set or collection that is incomplete, edited, foreign or in use."""


class SimulatorError(FileError):
    """A simulator that is missing, damaged or made for something else."""


class FolderError(MeshGymError, OSError):
    """A folder that can't be made or written."""


class MeshError(MeshGymError):
    """A mesh did not do what was asked."""


class MeshStartError(MeshError):
    """A process of the mesh did not start."""


class RulesRefusedError(MeshError):
    """The proxy refused the traffic rules."""


class LoadError(MeshError):
    """The load couldn't be sent, or didn't finish in time."""


class DisturbedError(LoadError):
    """Something got in the way in the middle of a run: what came back says nothing about the service.

    The machine or a proxy stood still, the load generator's own connections broke, or a rule or sidecar changed.
    """


class ClusterError(MeshError):
    """A cluster's API server or a sidecar didn't respond as it should."""


class AccessDeniedError(ClusterError):
    """The cluster doesn't allow this user to do what a mesh needs."""


class ConflictError(ClusterError):
    """An object of the cluster changed since it was last read."""


class AwayError(MeshGymError):
    """A part of a cluster (API server, webhook, sidecar, Fortio), or the way to it, doesn't respond for now.

    Not a :class:`MeshError`: the run hasn't failed, it waits.
    """


class LimitError(MeshGymError):
    """A limit on what a service may suffer is reached; the run that reached it counts, and no more are sent."""


class IncompleteError(MeshGymError):
    """A collection that is done, but without runs that failed each time; the rest can be used."""


class OutsideError(MeshGymError):
    """What is asked for lies outside what was measured, so there is no number for it."""


class FindingsError(MeshGymError):
    """A rule has findings of a severity that was not to be."""


class SloError(MeshGymError):
    """A service doesn't keep its objectives where it must."""


class RestoreError(MeshGymError):
    """A DestinationRule is on loan, to somebody else or to a run that couldn't give it back.

    Not a :class:`MeshError`, because repeating the run wouldn't help.
    """


class DestinationRuleChangedError(RestoreError):
    """Somebody else changed the DestinationRule under test; it is left as it is now."""


class DryRun(MeshGymError):  # noqa: N818 (not an error: it ends a dry run)
    """Not a failure: in a dry run, what would have been sent."""

"""Every error this project raises on purpose.

    MeshGymError
    |-- InvalidValueError (ValueError)      a value outside what is allowed
    |   `-- UnknownNameError                a name that is not in a finite list
    |-- MissingDependencyError (ImportError) an optional package is not installed
    |-- TraceError                          a trace set or collection that cannot be trusted
    |-- SimulatorError                      a simulator file that is damaged, foreign or missing
    |-- FolderError (OSError)               a folder that cannot be written
    |-- MeshError                           a mesh that did not do what was asked
    |   |-- MeshStartError                  a process of the mesh did not come up
    |   |-- RulesRefusedError               the proxy refused the traffic rules
    |   |-- LoadError                       the load could not be sent or did not finish
    |   `-- ClusterError                    a cluster's API server or sidecar that did not answer as it should
    |       |-- AccessDeniedError           a right that is missing
    |       `-- ConflictError               an object that is no longer what it was when it was last read
    |-- RestoreError                        a cluster's rule that is not put back
    |   `-- RuleChangedError                somebody else changed it meanwhile
    `-- DryRun                              what would have been sent, where nothing should be

Each message names the value, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MeshGymError(Exception):
    """Base of all errors raised on purpose."""


class InvalidValueError(MeshGymError, ValueError):
    """``what`` is ``value``, but only ``allowed`` will do; ``remedy`` says how to mend it."""

    def __init__(self, what: str, value: object, allowed: str, remedy: str = "") -> None:
        super().__init__(what, value, allowed, remedy)
        self.what, self.value, self.allowed, self.remedy = what, value, allowed, remedy

    def __str__(self) -> str:
        end = f" {self.remedy}" if self.remedy else ""
        return f"{self.what} is {self.value!r}; allowed: {self.allowed}.{end}"


class UnknownNameError(InvalidValueError):
    """``value`` is no known ``what``; the message lists the ``known`` names and the nearest one."""

    def __init__(self, what: str, value: object, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(str(value), names, n=1)
        super().__init__(what, value, ", ".join(names), f"Did you mean {near[0]!r}?" if near else "")
        self.known = names

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, object, list[str]]]:
        return type(self), (self.what, self.value, self.known)


class MissingDependencyError(MeshGymError, ImportError):
    """``package`` is needed for ``purpose``; the extra that brings it is named."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(package, purpose, extra)
        self.package, self.purpose, self.extra = package, purpose, extra

    def __str__(self) -> str:
        return (
            f"{self.purpose} needs the package {self.package!r}, which is not installed. "
            f"Install it with: pip install 'meshgym[{self.extra}]'"
        )


class TraceError(MeshGymError):
    """A trace set or collection that is incomplete, edited, foreign or in use."""


class SimulatorError(MeshGymError):
    """A simulator file that is missing, damaged or made for something else."""


class FolderError(MeshGymError, OSError):
    """A folder that cannot be made or written."""


class MeshError(MeshGymError):
    """A mesh did not do what was asked."""


class MeshStartError(MeshError):
    """A process of the mesh did not come up."""


class RulesRefusedError(MeshError):
    """The proxy refused the traffic rules."""


class LoadError(MeshError):
    """The load could not be sent, or did not finish in time."""


class ClusterError(MeshError):
    """A cluster's API server or a sidecar did not answer as it should."""


class AccessDeniedError(ClusterError):
    """The cluster does not let this user do what a mesh needs."""


class ConflictError(ClusterError):
    """An object of the cluster is no longer what it was when it was last read."""


class RestoreError(MeshGymError):
    """A DestinationRule is not as it was found, and could not be put back; its journal is kept.

    No :class:`MeshError`: trying the run again would not mend it.
    """


class RuleChangedError(RestoreError):
    """Somebody else changed the DestinationRule that is measured; it is left as it is now."""


class DryRun(MeshGymError):  # noqa: N818 (no error: it ends what would have gone on)
    """Not a failure: what a measurement would send, where a dry run was asked for."""

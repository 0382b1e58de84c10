"""What a mesh is: anything that answers "these rules, this load: what happens?"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

from meshgym.types import Load, Response, TrafficRules


class Mesh(ABC):
    """A service behind traffic rules: a real Envoy, a real cluster, or a simulator of one.

    A context manager: what it started or changed is gone or restored after :meth:`close`, which
    may be called more than once. After it, :meth:`measure` raises ``MeshError``.
    """

    #: True where each answer costs real traffic.
    live: bool = True

    @abstractmethod
    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """Put ``rules`` in force, send ``load``, and return what came back.

        Every call starts afresh: no ejection, open connection or counter of an earlier one is left.

        Raises:
            RulesRefusedError: the proxy did not take the rules.
            LoadError: the load could not be sent or did not finish.
            MeshError: the mesh is closed or broken.
        """

    def about(self) -> dict[str, Any]:
        """Which service is measured, as plain values for the record of a collection; no secrets."""
        return {"mesh": type(self).__name__}

    def close(self) -> None:
        """End what was started, restore what was changed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

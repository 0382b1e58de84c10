"""Limits on what a service may be made to suffer."""

from __future__ import annotations

from dataclasses import dataclass

from meshgym.errors import InvalidValueError, LimitError
from meshgym.types import Load

#: What somebody's service gets at most unless its owner says more: calls of a run and in all, calls per second of an
#: open loop (a closed one is as fast as the service), and the share of 503s after which nothing more is sent.
SAFE_CALLS_PER_STEP, SAFE_CALLS, SAFE_QPS, SAFE_P503 = 10_000, 100_000, 1000.0, 0.5
_REMEDY = "Raise the limit if the service can take it."


class CallLimits:
    """How many calls may be sent, in one run and in total, and how many of them may fail.

    Args:
        max_calls_per_step: in one run.
        max_calls: in total.
        max_p503: share of 503s in a run after which no more are sent, 0..1.

    Attributes:
        sent: how many were sent so far; the sender adds them.
    """

    def __init__(self, max_calls_per_step: int, max_calls: int, max_p503: float = 1.0) -> None:
        if not 0 <= max_p503 <= 1:
            raise InvalidValueError("max_p503", max_p503, "a share 0..1")
        self.max_calls_per_step, self.max_calls, self.max_p503 = max_calls_per_step, max_calls, max_p503
        self.sent = 0
        self._worst = 0.0

    def note(self, p503: float) -> None:
        """Take note of a run's share of 503s."""
        self._worst = max(self._worst, p503)

    def check_run(self, calls: int, what: str = "calls") -> None:
        """Check the calls of a single run.

        Args:
            calls: how many.
            what: the name that the error gives them.

        Raises:
            InvalidValueError: too many for one run.
        """
        if not calls <= self.max_calls_per_step:  # no load passes a limit of NaN
            allowed = f"at most max_calls_per_step={self.max_calls_per_step}"
            raise InvalidValueError(what, calls, allowed, _REMEDY)

    def check(self, calls: int) -> None:
        """Check whether a run of this many calls may be sent now.

        Raises:
            InvalidValueError: too many for one run, or in total.
            LimitError: too many of an earlier run failed.
        """
        self.check_run(calls)
        self.check_total(calls)

    def count(self, calls: int) -> None:
        """Count calls before they are sent; see :meth:`check` for the errors."""
        self.check_total(calls)
        self.sent += calls

    def check_total(self, calls: int) -> None:
        """Check the calls of runs against those in total; see :meth:`check`."""
        if self._worst > self.max_p503:
            raise LimitError(
                f"a run had {self._worst:.0%} of 503s, and max_p503 allows {self.max_p503:.0%}; nothing more is sent. "
                + _REMEDY
            )
        if not self.sent + calls <= self.max_calls:
            allowed = f"at most max_calls={self.max_calls} in all, of which {self.sent} are sent"
            raise InvalidValueError("calls", calls, allowed, _REMEDY)


@dataclass(frozen=True)
class AllowedHost:
    """A host other than this machine that may be loaded, and by how much.

    Attributes:
        name: as in the service's URL.
        max_qps: calls per second, above 0.
        calls: limits on calls.
    """

    name: str
    max_qps: float
    calls: CallLimits

    def check(self, load: Load) -> None:
        """Check whether a load may be sent now, and count it.

        Raises:
            InvalidValueError: it is too fast, or too much. A closed loop is as fast as the service, so it isn't sent.
            LimitError: too many of an earlier run failed.
        """
        if not load.open or load.rate_per_s > self.max_qps:
            allowed = f"an open loop of at most max_qps={self.max_qps:g} calls per second to {self.name}"
            raise InvalidValueError("load", load.to_dict(), allowed, "Give rate_per_s; or raise the limit.")
        self.calls.check(load.calls)
        self.calls.sent += load.calls

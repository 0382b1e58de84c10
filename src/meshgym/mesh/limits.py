"""Limits on the calls that a service receives."""

from __future__ import annotations

from meshgym.errors import InvalidValueError

_REMEDY = "Raise the limit if the service can take it."


class CallLimits:
    """How many calls may be sent, in one run and in total.

    Args:
        max_calls_per_step: in one run.
        max_calls: in total.

    Attributes:
        sent: how many were sent so far; the sender adds them.
    """

    def __init__(self, max_calls_per_step: int, max_calls: int) -> None:
        self.max_calls_per_step, self.max_calls = max_calls_per_step, max_calls
        self.sent = 0

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
        """
        self.check_run(calls)
        if not self.sent + calls <= self.max_calls:
            allowed = f"at most max_calls={self.max_calls} in all, of which {self.sent} are sent"
            raise InvalidValueError("calls", calls, allowed, _REMEDY)

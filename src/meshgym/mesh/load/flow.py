"""A load under way: which call is sent when, and what came back.

In a closed loop a thread sends its next call when the last has ended. In an open loop it is fixed beforehand when each
call is due; its latency counts from then, so a service that stalls can't hide the calls that had to wait.
"""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import LoadError
from meshgym.types import Load


@dataclass(slots=True)
class LoadResult:
    """What came back, in the order of arrival.

    Attributes:
        heads: status line and headers of every response that wasn't a success.
        latencies_s: seconds from sending, or from when it was due, to the complete response, of each success.
        ok: number of successes.
        broken: calls that ended without a response (connection refused, reset or closed).
        given_up: calls that took too long.
        duration_s: seconds from the first request to the last response.
        longest_gap_s: longest time between two responses, or before the first, with a call under way.
        late_s: how much later than due each call was sent; empty in a closed loop.
    """

    heads: list[bytes] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    ok: int = 0
    broken: int = 0
    given_up: int = 0
    duration_s: float = 0.0
    longest_gap_s: float = 0.0
    late_s: list[float] = field(default_factory=list)


class Connection:
    """One connection, and when the call on it was sent or due."""

    __slots__ = ("buffer", "calls", "flow", "sent_at", "since", "socket", "waits")

    def __init__(self, flow: Flow, calls: int = 0) -> None:
        self.flow = flow
        #: Calls that it still has to send.
        self.calls = calls
        self.socket: socket.socket | None = None
        self.buffer = b""
        self.since = self.sent_at = 0.0
        #: Whether a call is under way on it.
        self.waits = False


class Flow(ABC):
    """A load under way: the ``result`` so far, and the ``error`` that ended it, if one did.

    Args:
        load: what is sent.
        request: bytes of each request.
        expect: bytes that the headers of each response must contain.
    """

    def __init__(self, load: Load, request: bytes, expect: bytes) -> None:
        self.left = load.calls
        self.request, self.expect = request, expect
        self.connections: list[Connection] = []
        self.result = LoadResult()
        self.error: LoadError | None = None
        self.under_way = 0
        self.started_at = self.heard_at = time.perf_counter()

    @property
    def over(self) -> bool:
        """Whether every call has ended, or an error ended the flow."""
        return not self.left or self.error is not None

    def finish(self) -> LoadResult:
        """Return what came back, or raise the error that ended the flow."""
        if self.error is not None:
            raise self.error
        return self.result

    def sent(self, now: float) -> None:
        """Record that a call is sent."""
        if not self.under_way:
            self.heard_at = now
        self.under_way += 1

    def ended(self) -> float:
        """Record that a call has ended; return when."""
        now = time.perf_counter()
        self.result.longest_gap_s = max(self.result.longest_gap_s, now - self.heard_at)
        self.heard_at = now
        self.left -= 1
        self.under_way -= 1
        return now

    @abstractmethod
    def ready(self, now: float) -> Iterator[Connection]:
        """Yield connections on which a call is to be sent now, besides those that :meth:`after` names."""

    @abstractmethod
    def next_at(self) -> float | None:
        """Return when :meth:`ready` will have the next; None if never."""

    @abstractmethod
    def take(self, connection: Connection, now: float) -> bool:
        """Take the connection's next call; return whether there is one."""

    @abstractmethod
    def after(self, connection: Connection) -> bool:
        """Return whether the connection sends its next call, because one has ended."""


class ClosedLoop(Flow):
    """As ``fortio load -c THREADS -n CALLS -qps 0``: each thread has a connection, and sends one call after the other.

    If calls don't divide by threads, the first thread sends the remainder, too, and may end alone.
    """

    def __init__(self, load: Load, request: bytes, expect: bytes) -> None:
        super().__init__(load, request, expect)
        each, rest = divmod(load.calls, load.threads)
        self.connections = [Connection(self, each + (0 if number else rest)) for number in range(load.threads)]
        self._begun = False

    def ready(self, now: float) -> Iterator[Connection]:
        """See :meth:`Flow.ready`."""
        if not self._begun:
            self._begun = True
            yield from self.connections

    def next_at(self) -> float | None:
        """See :meth:`Flow.next_at`."""
        return None if self._begun else self.started_at

    def take(self, connection: Connection, now: float) -> bool:
        """See :meth:`Flow.take`."""
        if not connection.calls:
            return False
        connection.calls -= 1
        connection.since = now
        return True

    def after(self, connection: Connection) -> bool:
        """See :meth:`Flow.after`."""
        return True


class OpenLoop(Flow):
    """Calls are due at times that are fixed beforehand, on as many connections as that takes."""

    def __init__(self, load: Load, request: bytes, expect: bytes) -> None:
        super().__init__(load, request, expect)
        self._due: list[float] = (self.started_at + arrivals(load)).tolist()
        self._next = 0
        self._idle: list[Connection] = []

    def ready(self, now: float) -> Iterator[Connection]:
        """See :meth:`Flow.ready`."""
        while self._next < len(self._due) and (due := self._due[self._next]) <= now:
            self._next += 1
            if self._idle:
                connection = self._idle.pop()
            else:
                connection = Connection(self)
                self.connections.append(connection)
            connection.calls, connection.since = 1, due
            yield connection

    def next_at(self) -> float | None:
        """See :meth:`Flow.next_at`."""
        return self._due[self._next] if self._next < len(self._due) else None

    def take(self, connection: Connection, now: float) -> bool:
        """See :meth:`Flow.take`."""
        if not connection.calls:
            return False
        connection.calls = 0
        self.result.late_s.append(now - connection.since)
        return True

    def after(self, connection: Connection) -> bool:
        """See :meth:`Flow.after`."""
        self._idle.append(connection)
        return False


def arrivals(load: Load) -> NDArray[np.float64]:
    """Return when the calls of an open loop are due, in seconds from its start, ascending, shape (calls,).

    ``constant``: at equal distances. ``poisson``: a Poisson process with this number of calls, drawn with the load's
    seed.
    """
    if load.arrivals == "constant":
        return np.arange(load.calls) / load.rate_per_s
    generator = np.random.default_rng(load.seed)
    return np.sort(generator.uniform(0, load.duration_s, load.calls))

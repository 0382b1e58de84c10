"""A closed-loop load generator, as ``fortio load -c THREADS -n CALLS -qps 0``.

Each of ``threads`` connections sends a request, waits for the response and sends the next. A connection stays open,
until a response isn't a success (as Fortio does). If calls don't divide by threads, some threads send one more; Fortio
gives the whole remainder to its first thread, which then ends alone and sets the rate. One event loop serves all
connections of all flows, because Python threads would add their own switching to what is measured.
"""

from __future__ import annotations

import errno
import gc
import resource
import selectors
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from meshgym.errors import LoadError
from meshgym.types import Load

#: What our own side lacks if a connection can't be made: descriptors, ports, buffers, memory.
_OURS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM}
#: Descriptors for everything but connections.
_SPARE_DESCRIPTORS = 100
_HEAD_END = b"\r\n\r\n"
#: Thousands of closed connections a minute would use up the ports while they wait out TIME_WAIT.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class LoadResult:
    """What came back, in the order of arrival.

    Attributes:
        heads: status line and headers of every response that wasn't a 200.
        latencies_s: seconds from sending to the complete response, of each 200.
        ok: number of 200s.
        broken: calls that ended without a response (connection refused, reset or closed).
        duration_s: seconds from the first request to the last response.
        longest_gap_s: longest time between two responses, or before the first.
    """

    heads: list[bytes] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    ok: int = 0
    broken: int = 0
    duration_s: float = 0.0
    longest_gap_s: float = 0.0


class Flow:
    """A load under way: the ``result`` so far, and the ``error`` that ended it, if one did."""

    __slots__ = ("error", "expect", "heard_at", "left", "request", "result", "started_at", "threads")

    def __init__(self, load: Load, request: bytes, expect: bytes) -> None:
        each, rest = divmod(load.calls, load.threads)
        self.threads = [_Thread(self, each + (number < rest)) for number in range(load.threads)]
        self.left = load.calls
        self.request, self.expect = request, expect
        self.result = LoadResult()
        self.error: LoadError | None = None
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

    def count(self) -> None:
        """Record that a call has ended."""
        now = time.perf_counter()
        self.result.longest_gap_s = max(self.result.longest_gap_s, now - self.heard_at)
        self.heard_at = now
        self.left -= 1


class _Thread:
    """One connection and the calls that it still has to make."""

    __slots__ = ("buffer", "calls", "flow", "sent_at", "socket")

    def __init__(self, flow: Flow, calls: int) -> None:
        self.flow = flow
        self.calls = calls
        self.socket: socket.socket | None = None
        self.buffer = b""
        self.sent_at = 0.0


def _complete(data: bytes) -> int:
    """Return the length of the headers if ``data`` holds the whole response, else 0."""
    end = data.find(_HEAD_END)
    if end < 0:
        return 0
    start = data.find(b"content-length: ", 0, end)
    length = int(data[start + 16 : data.find(b"\r\n", start)]) if start >= 0 else 0
    return end if len(data) >= end + 4 + length else 0


@contextmanager
def no_collection() -> Iterator[None]:
    """Pause garbage collection, which in the middle of a flow would look like latency."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def allow_connections(count: int) -> None:
    """Raise this process' limit on descriptors, if ``count`` connections need more.

    Raises:
        LoadError: more than the machine allows; an Envoy in between needs two descriptors for each connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * count + _SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise LoadError(
            f"{count} connections need {needed} descriptors, and this machine allows {hard} (ulimit -Hn); raise that, "
            "or send with fewer threads or lanes"
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class ClosedLoop:
    """Sends loads to one address, any number at once. The request is ``GET /`` with given headers.

    Args:
        address: host and port.
        timeout_s: seconds without any response after which a flow is given up.
    """

    def __init__(self, address: tuple[str, int], timeout_s: float = 10.0) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._flows: list[Flow] = []
        self._selector = selectors.DefaultSelector()
        self._alarm, self._bell = socket.socketpair()
        self._selector.register(self._alarm, selectors.EVENT_READ, None)

    def run(self, load: Load, headers: dict[str, str], expect: bytes = b"") -> LoadResult:
        """Send ``load`` and wait for all responses.

        Args:
            load, headers, expect: see :meth:`start`.

        Raises:
            LoadError: no response for ``timeout_s``, or one without ``expect``.
        """
        with no_collection():
            flow = self.start(load, headers, expect)
            while flow not in self.poll():
                pass
        return flow.finish()

    def start(self, load: Load, headers: dict[str, str], expect: bytes = b"") -> Flow:
        """Send the first requests of ``load``; :meth:`poll` goes on with it.

        Args:
            load: threads and calls; the first threads take the remainder.
            headers: sent with each request.
            expect: bytes that the headers of each response must contain.
        """
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        flow = Flow(load, f"GET / HTTP/1.1\r\nhost: service\r\n{lines}\r\n".encode(), expect)
        self._flows.append(flow)
        for thread in flow.threads:
            self._send(thread)
        return flow

    def poll(self) -> list[Flow]:
        """Wait for responses or for :meth:`wake`, send the next requests, and return the flows that are over."""
        heard = min((flow.heard_at for flow in self._flows), default=time.perf_counter())
        wait_s = 0.0 if any(flow.over for flow in self._flows) else heard + self.timeout_s - time.perf_counter()
        for key, _ in self._selector.select(max(wait_s, 0)):
            thread: _Thread | None = key.data
            if thread is None:
                self._alarm.recv(4096)
            elif self._receive(thread):
                self._send(thread)
        now = time.perf_counter()
        for flow in self._flows:
            if now - flow.heard_at >= self.timeout_s and not flow.over:
                silence = f"no response for {self.timeout_s:g} s with {flow.left} calls left; is the service up?"
                flow.error = LoadError(silence)
        over = [flow for flow in self._flows if flow.over]
        for flow in over:
            flow.result.duration_s = flow.heard_at - flow.started_at
            self.drop(flow)
        return over

    def wake(self) -> None:
        """Make :meth:`poll` return; may be called from another thread."""
        self._bell.send(b"!")

    def drop(self, flow: Flow) -> None:
        """Hang up a flow's connections and forget it, unless that is done."""
        if flow in self._flows:
            self._flows.remove(flow)
        for thread in flow.threads:
            self._hang_up(thread)

    def close(self) -> None:
        """Drop all flows; no more can be started."""
        for flow in list(self._flows):
            self.drop(flow)
        self._selector.close()
        self._alarm.close()
        self._bell.close()

    def _send(self, thread: _Thread) -> None:
        """Send the thread's next call, on a new connection if it has none; count what can't be sent."""
        flow = thread.flow
        while thread.calls and flow.error is None:
            thread.calls -= 1
            thread.sent_at = time.perf_counter()
            try:
                if thread.socket is None:
                    thread.socket = socket.create_connection(self.address, self.timeout_s)
                    thread.socket.settimeout(None)  # the selector watches the time
                    thread.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    thread.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    self._selector.register(thread.socket, selectors.EVENT_READ, thread)
                thread.socket.sendall(flow.request)
                return
            except OSError as error:
                if error.errno in _OURS:
                    flow.error = LoadError(
                        f"this machine can't open another connection to send the load ({error.strerror}); raise the "
                        "limit (ulimit -n), or send with fewer threads or lanes"
                    )
                    break
                self._hang_up(thread)
                flow.result.broken += 1
                flow.count()
        self._hang_up(thread)

    def _receive(self, thread: _Thread) -> bool:
        """Read; return whether the call is over."""
        if thread.socket is None:
            return False  # its flow ended in this round
        flow = thread.flow
        try:
            data = thread.socket.recv(65536)
        except OSError:
            data = b""
        if data:
            data = thread.buffer + data
            end = _complete(data)
            if not end:
                thread.buffer = data
                return False
        thread.buffer = b""
        flow.count()
        if not data:
            flow.result.broken += 1
            self._hang_up(thread)
        elif flow.expect not in data:
            head = data[:end].decode("latin-1")
            flow.error = LoadError(f"a response came under other rules than this run's: {head!r}")
        elif data.startswith(b"HTTP/1.1 200"):
            flow.result.ok += 1
            flow.result.latencies_s.append(flow.heard_at - thread.sent_at)
        else:
            flow.result.heads.append(data[:end])
            self._hang_up(thread)
        return True

    def _hang_up(self, thread: _Thread) -> None:
        if thread.socket is not None:
            if thread.socket.fileno() in self._selector.get_map():
                self._selector.unregister(thread.socket)
            thread.socket.close()
            thread.socket = None

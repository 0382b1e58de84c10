"""Sends loads to one address, and receives what comes back.

A connection stays open, until a response isn't a success (as Fortio does). One event loop serves all connections of all
flows, because Python threads would add their own switching to what is measured.
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
from contextlib import contextmanager, suppress

from meshgym.errors import LoadError
from meshgym.mesh.load.flow import ClosedLoop, Connection, Flow, LoadResult, OpenLoop
from meshgym.mesh.load.request import Request, response_end
from meshgym.types import Load

#: What our own side lacks if a connection can't be made: descriptors, ports, buffers, memory.
_OURS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM}
#: Descriptors for everything but connections.
_SPARE_DESCRIPTORS = 100
#: Thousands of closed connections a minute would use up the ports while they wait out TIME_WAIT.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
#: The selector waits in steps of a millisecond, and one more may pass; the rest of the way to a call that is due goes
#: in fine steps.
_STEP_S, _FINE_STEP_S = 0.002, 0.00005
#: How often calls that take too long are looked for, in the time that a call may take.
_LOOKS = 20


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


class LoadClient:
    """Sends loads to one address, any number at once.

    Args:
        address: host and port.
        timeout_s: seconds without any response after which a flow is given up.
        request: what each call sends.
        call_timeout_s: seconds after which a single call is given up and its connection closed; 0 for never.
    """

    def __init__(
        self,
        address: tuple[str, int],
        timeout_s: float = 10.0,
        request: Request | None = None,
        call_timeout_s: float = 0.0,
    ) -> None:
        self.address = address
        self.timeout_s = max(timeout_s, 2 * call_timeout_s)
        self.call_timeout_s = call_timeout_s
        self.request = request or Request()
        self._successes = self.request.successes
        self._headers_only = self.request.method == "HEAD"
        self._look_at = 0.0
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
            load: what is sent.
            headers: sent with each request.
            expect: bytes that the headers of each response must contain.
        """
        flow: Flow = (OpenLoop if load.open else ClosedLoop)(load, self.request.encode(headers), expect)
        self._flows.append(flow)
        self._send_ready(flow)
        return flow

    def poll(self) -> list[Flow]:
        """Wait for responses, calls that are due or :meth:`wake`; send, and return the flows that are over."""
        for key, _ in self._selector.select(self._wait_s()):
            connection: Connection | None = key.data
            if connection is None:
                self._alarm.recv(4096)
            elif self._receive(connection) and connection.flow.after(connection):
                self._send(connection)
        for flow in self._flows:
            self._send_ready(flow)
        now = time.perf_counter()
        if self.call_timeout_s and now >= self._look_at:
            self._look_at = now + self.call_timeout_s / _LOOKS
            self._give_up_calls(now)
        for flow in self._flows:
            if flow.under_way and now - flow.heard_at >= self.timeout_s and not flow.over:
                silence = f"no response for {self.timeout_s:g} s with {flow.left} calls left; is the service up?"
                flow.error = LoadError(silence)
        over = [flow for flow in self._flows if flow.over]
        for flow in over:
            flow.result.duration_s = flow.heard_at - flow.started_at
            self.drop(flow)
        return over

    def _wait_s(self) -> float:
        """Return how long the selector may wait: until a call is due or a flow is given up."""
        if any(flow.over for flow in self._flows):
            return 0.0
        now = time.perf_counter()
        heard = min((flow.heard_at for flow in self._flows if flow.under_way), default=now)
        wait_s = heard + self.timeout_s - now
        if due := min(filter(None, (flow.next_at() for flow in self._flows)), default=None):
            if now < due < now + _STEP_S:
                time.sleep(min(due - now, _FINE_STEP_S))
            wait_s = min(wait_s, due - now - _STEP_S)
        if self.call_timeout_s:
            wait_s = min(wait_s, self.call_timeout_s / _LOOKS)
        return max(wait_s, 0.0)

    def _give_up_calls(self, now: float) -> None:
        """Hang up on calls that take too long."""
        for flow in self._flows:
            for connection in list(flow.connections):
                if connection.waits and now - connection.sent_at >= self.call_timeout_s:
                    connection.buffer, connection.waits = b"", False
                    flow.ended()
                    flow.result.given_up += 1
                    self._hang_up(connection)
                    if flow.after(connection):
                        self._send(connection)

    def wake(self) -> None:
        """Make :meth:`poll` return; may be called from another thread."""
        self._bell.send(b"!")

    def drop(self, flow: Flow) -> None:
        """Hang up a flow's connections and forget it, unless that is done."""
        if flow in self._flows:
            self._flows.remove(flow)
        for connection in flow.connections:
            self._hang_up(connection)

    def close(self) -> None:
        """Drop all flows; no more can be started."""
        for flow in list(self._flows):
            self.drop(flow)
        self._selector.close()
        self._alarm.close()
        self._bell.close()

    def _send_ready(self, flow: Flow) -> None:
        for connection in flow.ready(time.perf_counter()):
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        """Send the connection's next call, opening it if it isn't; count what can't be sent."""
        flow = connection.flow
        while flow.error is None and flow.take(connection, now := time.perf_counter()):
            flow.sent(now)
            connection.waits, connection.sent_at = True, now
            try:
                if connection.socket is None:
                    self._connect(connection)
                assert connection.socket is not None
                connection.socket.sendall(flow.request)
                return
            except OSError as error:
                if error.errno in _OURS:
                    flow.error = LoadError(
                        f"this machine can't open another connection to send the load ({error.strerror}); raise the "
                        "limit (ulimit -n), or send with fewer threads or lanes"
                    )
                    break
                self._hang_up(connection)
                flow.result.broken += 1
                flow.ended()
                if not flow.after(connection):
                    return
        self._hang_up(connection)

    def _connect(self, connection: Connection) -> None:
        opened = socket.create_connection(self.address, self.timeout_s)
        connection.socket = opened
        opened.settimeout(None)  # the selector watches the time
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._selector.register(opened, selectors.EVENT_READ, connection)

    def _receive(self, connection: Connection) -> bool:
        """Read; return whether the call is over."""
        if connection.socket is None:
            return False  # its flow ended in this round
        flow = connection.flow
        try:
            data = connection.socket.recv(65536)
        except OSError:
            data = b""
        if not data and not connection.waits:
            self._hang_up(connection)  # the other side closed it while it was idle
            return False
        if data:
            data = connection.buffer + data
            end = response_end(data, self._headers_only)
            if not end:
                connection.buffer = data
                return False
        connection.buffer, connection.waits = b"", False
        now = flow.ended()
        if not data:
            flow.result.broken += 1
            self._hang_up(connection)
        elif flow.expect not in data:
            head = data[:end].decode("latin-1")
            flow.error = LoadError(f"a response came under other rules than this run's: {head!r}")
        elif data.startswith(self._successes):
            flow.result.ok += 1
            flow.result.latencies_s.append(now - connection.since)
        else:
            flow.result.heads.append(data[:end])
            self._hang_up(connection)
        return True

    def _hang_up(self, connection: Connection) -> None:
        opened, connection.socket = connection.socket, None  # at once: a signal may end this at any point
        if opened is not None:
            with suppress(KeyError):  # it wasn't registered yet
                self._selector.unregister(opened)
            opened.close()

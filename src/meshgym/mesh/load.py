"""A closed-loop load generator, as ``fortio load -c THREADS -n CALLS -qps 0``.

Each of ``threads`` connections sends one request, waits for its answer and sends the next;
keep-alive, closed after an answer that is no success (as Fortio does). One event loop serves all
connections: Python threads would add their own switching to what is measured.
"""

from __future__ import annotations

import gc
import selectors
import socket
import struct
import time
from dataclasses import dataclass, field

from meshgym.errors import LoadError
from meshgym.types import Load

_HEAD_END = b"\r\n\r\n"
#: Thousands of closed connections a minute would use up the ports while they wait out TIME_WAIT.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Answers:
    """What came back, in the order of arrival.

    Attributes:
        heads: status line and headers of every answer that was no 200.
        latencies_s: seconds from sending to the complete answer, every call.
        ok: answers with status 200.
        broken: calls that ended without an answer (connection refused, reset or closed).
        duration_s: seconds from the first request to the last answer.
    """

    heads: list[bytes] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    ok: int = 0
    broken: int = 0
    duration_s: float = 0.0


class _Thread:
    """One connection and the calls it still has to make."""

    __slots__ = ("buffer", "calls", "sent_at", "socket")

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.socket: socket.socket | None = None
        self.buffer = b""
        self.sent_at = 0.0


def _complete(data: bytes) -> int:
    """Length of the headers, if ``data`` holds the whole answer; else 0."""
    end = data.find(_HEAD_END)
    if end < 0:
        return 0
    start = data.find(b"content-length: ", 0, end)
    length = int(data[start + 16 : data.find(b"\r\n", start)]) if start >= 0 else 0
    return end if len(data) >= end + 4 + length else 0


class ClosedLoop:
    """Sends loads to one address.

    Args:
        address: host and port.
        timeout_s: seconds without any answer after which a run is given up.

    The request is ``GET /`` with the given headers.
    """

    def __init__(self, address: tuple[str, int], timeout_s: float = 10.0) -> None:
        self.address = address
        self.timeout_s = timeout_s

    def run(self, load: Load, headers: dict[str, str], expect: bytes = b"") -> Answers:
        """Send ``load`` and wait for all answers.

        Args:
            load: threads and calls; thread 0 takes what does not divide.
            headers: sent with each request.
            expect: bytes each answer's headers must contain.

        Raises:
            LoadError: no answer for ``timeout_s``, or an answer without ``expect``.
        """
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        request = f"GET / HTTP/1.1\r\nhost: service\r\n{lines}\r\n".encode()
        each, rest = divmod(load.calls, load.threads)
        threads = [_Thread(each + (rest if number == 0 else 0)) for number in range(load.threads)]
        collecting = gc.isenabled()
        gc.disable()  # a collection in the middle would look like latency
        try:
            with selectors.DefaultSelector() as selector:
                try:
                    return self._loop(selector, threads, request, expect)
                finally:
                    for thread in threads:
                        if thread.socket is not None:
                            thread.socket.close()
        finally:
            if collecting:
                gc.enable()

    def _loop(self, selector: selectors.BaseSelector, threads: list[_Thread], request: bytes, expect: bytes) -> Answers:
        answers = Answers()
        clock = time.perf_counter
        start = clock()
        for thread in threads:
            self._send(selector, thread, request, answers)
        while selector.get_map():
            events = selector.select(self.timeout_s)
            if not events:
                left = sum(thread.calls for thread in threads)
                raise LoadError(f"no answer for {self.timeout_s:g} s with {left} calls left; is the service up?")
            for key, _ in events:
                thread = key.data
                if self._receive(selector, thread, expect, answers):
                    self._send(selector, thread, request, answers)
        answers.duration_s = clock() - start
        return answers

    def _send(self, selector: selectors.BaseSelector, thread: _Thread, request: bytes, answers: Answers) -> None:
        """Send the thread's next call, on a new connection if need be; count what can't be sent."""
        while thread.calls:
            thread.calls -= 1
            thread.sent_at = time.perf_counter()
            try:
                if thread.socket is None:
                    thread.socket = socket.create_connection(self.address, self.timeout_s)
                    thread.socket.settimeout(None)  # the selector watches the time
                    thread.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    thread.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    selector.register(thread.socket, selectors.EVENT_READ, thread)
                thread.socket.sendall(request)
                return
            except OSError:
                self._hang_up(selector, thread)
                answers.broken += 1
                answers.latencies_s.append(time.perf_counter() - thread.sent_at)
        self._hang_up(selector, thread)

    def _receive(self, selector: selectors.BaseSelector, thread: _Thread, expect: bytes, answers: Answers) -> bool:
        """Read; True when the call is over."""
        assert thread.socket is not None
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
        answers.latencies_s.append(time.perf_counter() - thread.sent_at)
        thread.buffer = b""
        if not data:
            answers.broken += 1
            self._hang_up(selector, thread)
            return True
        if expect not in data:
            raise LoadError(f"an answer came from other rules than this run's: {data[:end].decode('latin-1')!r}")
        if data.startswith(b"HTTP/1.1 200"):
            answers.ok += 1
        else:
            answers.heads.append(data[:end])
            self._hang_up(selector, thread)
        return True

    @staticmethod
    def _hang_up(selector: selectors.BaseSelector, thread: _Thread) -> None:
        if thread.socket is not None:
            if thread.socket.fileno() in selector.get_map():
                selector.unregister(thread.socket)
            thread.socket.close()
            thread.socket = None

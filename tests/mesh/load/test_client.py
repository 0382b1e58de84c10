"""Closed loops against a small server whose answers are known."""

import socket
import threading
from collections import Counter
from contextlib import closing, contextmanager, suppress

import pytest

from meshgym.errors import LoadError
from meshgym.mesh.load.client import LoadClient
from meshgym.types import Load

OK = b"HTTP/1.1 200 OK\r\nstamp: 1\r\ncontent-length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 Service Unavailable\r\nstamp: 1\r\ncontent-length: 0\r\n\r\n"


@contextmanager
def server(answer):
    """Responds to each request of a connection with what ``answer(connection number, request number)`` gives."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen = Counter()

    def serve(connection, number):
        with connection:
            data = b""
            while chunk := connection.recv(4096):
                data += chunk
                while b"\r\n\r\n" in data:
                    _, _, data = data.partition(b"\r\n\r\n")
                    parts = answer(number, seen[number])
                    seen[number] += 1
                    for part in [parts] if isinstance(parts, bytes) else parts:
                        connection.sendall(part)
                    if not parts:
                        return

    def accept():
        number = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_quietly, args=(serve, connection, number), daemon=True).start()
            number += 1

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname(), seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def run(address, load, headers=None, expect=b"", **settings):
    with closing(LoadClient(address, **settings)) as client:
        return client.run(load, headers or {}, expect)


def _quietly(serve, connection, number):
    with suppress(OSError):  # the client hung up
        serve(connection, number)


def test_threads_share_the_calls_and_keep_their_connections():
    with server(lambda connection, request: OK) as (address, seen):
        answers = run(address, Load(3, 11), {"x": "y"}, b"stamp: 1")
    assert answers.ok == 11
    assert not answers.heads
    assert len(answers.latencies_s) == 11
    assert seen == {0: 5, 1: 3, 2: 3}  # the first sends what doesn't divide, as Fortio's does
    assert answers.duration_s >= max(answers.latencies_s)


def test_a_connection_is_closed_after_an_answer_that_is_no_success():
    with server(lambda connection, request: BAD if connection < 2 else OK) as (address, seen):
        answers = run(address, Load(1, 5))
    assert answers.ok == 3
    assert [head[9:12] for head in answers.heads] == [b"503", b"503"]
    assert seen == {0: 1, 1: 1, 2: 3}


def test_answers_may_come_in_pieces():
    with server(lambda connection, request: [OK[:20], OK[20:50], OK[50:]]) as (address, _):
        assert run(address, Load(2, 6)).ok == 6


def test_a_connection_closed_without_an_answer_is_a_broken_call():
    with server(lambda connection, request: b"" if connection == 0 else OK) as (address, _):
        answers = run(address, Load(1, 4))
    assert (answers.broken, answers.ok) == (1, 3)


def test_nobody_listening_breaks_every_call():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    assert run(address, Load(2, 10)).broken == 10


def test_an_answer_of_another_run_is_refused():
    with server(lambda connection, request: OK) as (address, _), pytest.raises(LoadError, match="other rules"):
        run(address, Load(1, 2), expect=b"stamp: 2")


def test_silence_ends_a_run():
    with (
        server(lambda connection, request: [b"HTTP/1.1"]) as (address, _),
        pytest.raises(LoadError, match="no response"),
    ):
        run(address, Load(1, 2), timeout_s=0.2)


def test_loads_go_side_by_side_and_end_on_their_own():
    with server(lambda connection, request: OK) as (address, _), closing(LoadClient(address)) as client:
        flows = [client.start(Load(threads, 4 * threads), {}) for threads in (1, 5)]
        flows.append(client.start(Load(1, 2), {}, b"stamp: 2"))
        over = []
        while len(over) < 3:
            over += client.poll()
    assert set(over) == set(flows)
    assert [flow.result.ok for flow in flows] == [4, 20, 0]
    assert "other rules" in str(flows[2].error)
    assert flows[0].error is flows[1].error is None


def test_a_signal_in_the_middle_of_hanging_up_leaves_a_client_that_can_be_closed():
    class Interrupted(socket.socket):
        def close(self):
            super().close()
            raise KeyboardInterrupt

    client = LoadClient(("127.0.0.1", 1))
    with suppress(LoadError):
        flow = client.start(Load(1, 2), {})
    (connection,) = flow.connections
    connection.socket = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        client.drop(flow)
    client.drop(flow)
    client.close()

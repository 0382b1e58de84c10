"""Open loops against servers of known service time, beside queueing theory; and the highest rate that can be offered.

    python benchmarks/open_loop.py

A server in a process of its own has c workers and one queue. Its service times are constant (M/D/c) or exponential
(M/M/c), calls arrive as a Poisson process at half, 80 % and 95 % of its capacity. Beside each percentile stands what
the same arrivals and service times give exactly (Lindley's recursion), and, for M/M/c, what holds in the long run
(Erlang C): a run of finite length differs from that by chance, and near capacity by much.

With MESHGYM_FORTIO, the path of a Fortio binary, it also sends calls at equal distances, which is all that Fortio can
do, with both generators.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import multiprocessing
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import MeshError
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.mesh.load.client import LoadClient
from meshgym.mesh.load.flow import arrivals
from meshgym.service.profile import ServiceProfile
from meshgym.types import Load

WORKERS, SERVICE_S = 10, 0.05
RANKS = (50, 90, 99)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def serve(channel: Connection, service_s: list[float]) -> None:
    """Serve with ``WORKERS`` workers and one queue; the n-th call to arrive takes the n-th service time."""
    waiting: queue.SimpleQueue[tuple[socket.socket, float]] = queue.SimpleQueue()
    times = iter(service_s)
    lock = threading.Lock()

    def work() -> None:
        while True:
            connection, took = waiting.get()
            end = time.perf_counter() + took
            while (left := end - time.perf_counter()) > 0:
                time.sleep(max(left - 0.0002, 0) or 0.00002)  # to the tenth of a millisecond
            connection.sendall(OK)

    def read(connection: socket.socket) -> None:
        with suppress(ConnectionError):  # the client hung up
            while connection.recv(4096):
                with lock:
                    waiting.put((connection, next(times)))

    for _ in range(WORKERS):
        threading.Thread(target=work, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        channel.send(listener.getsockname())
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=read, args=[connection], daemon=True).start()


def exact(due: NDArray[np.float64], service_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the latency of each call with c workers and one queue, shape (calls,)."""
    free = [0.0] * WORKERS
    latencies = []
    for at, took in zip(due, service_s, strict=True):
        end = max(at, heapq.heappop(free)) + took
        heapq.heappush(free, end)
        latencies.append(end - at)
    return np.array(latencies)


def long_run(load_share: float) -> dict[int, float]:
    """Return the percentiles of M/M/c in the long run, in seconds, by rank."""
    offered = load_share * WORKERS
    last = offered**WORKERS / math.factorial(WORKERS) / (1 - load_share)
    waits = last / (sum(offered**k / math.factorial(k) for k in range(WORKERS)) + last)
    drain, serve_rate = WORKERS * (1 - load_share) / SERVICE_S, 1 / SERVICE_S

    def beyond(t: float) -> float:
        if math.isclose(drain, serve_rate):
            mixed = math.exp(-serve_rate * t) * (1 + serve_rate * t)
        else:
            mixed = (drain * math.exp(-serve_rate * t) - serve_rate * math.exp(-drain * t)) / (drain - serve_rate)
        return (1 - waits) * math.exp(-serve_rate * t) + waits * mixed

    found = {}
    for rank in RANKS:
        low, high = 0.0, 100.0
        while high - low > 1e-6:
            middle = (low + high) / 2
            low, high = (middle, high) if beyond(middle) > 1 - rank / 100 else (low, middle)
        found[rank] = high
    return found


@contextmanager
def serving(service_s: NDArray[np.float64]) -> Iterator[tuple[str, int]]:
    """Run the server; yield its address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, service_s.tolist()), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def beside_fortio(fortio: str, share: float, seconds: float) -> None:
    """Print percentiles that both generators measure, of calls at equal distances and exponential service times."""
    load = Load(rate_per_s=share * WORKERS / SERVICE_S, duration_s=seconds)
    service_s = np.random.default_rng(11).exponential(SERVICE_S, load.calls)
    with serving(service_s) as address, closing(LoadClient(address)) as client:
        ours = np.percentile(client.run(load, {}).latencies_s, RANKS)
    options = ["-c", str(load.connections), "-n", str(load.calls), "-qps", f"{load.rate_per_s:g}"]
    with serving(service_s) as (host, port):
        command = [fortio, "load", "-quiet", *options, "-uniform", "-nocatchup", "-p", "50,90,99", "-json", "-"]
        done = subprocess.run([*command, f"http://{host}:{port}/"], capture_output=True, text=True, check=True)
    theirs = [one["Value"] for one in json.loads(done.stdout)["DurationHistogram"]["Percentiles"]]
    cells = [f"p{rank} {1000 * a:.1f} {1000 * b:.1f}" for rank, a, b in zip(RANKS, ours, theirs, strict=True)]
    print(f"ours and Fortio's, {share:.0%} of {WORKERS / SERVICE_S:.0f}/s: {'   '.join(cells)}")


def against_theory(kind: str, share: float, seconds: float) -> None:
    """Print measured percentiles beside exact ones."""
    rate = share * WORKERS / SERVICE_S
    load = Load(rate_per_s=rate, duration_s=seconds, arrivals="poisson", seed=7)
    generator = np.random.default_rng(11)
    service_s = np.full(load.calls, SERVICE_S) if kind == "M/D/c" else generator.exponential(SERVICE_S, load.calls)
    with serving(service_s) as address, closing(LoadClient(address)) as client:
        result = client.run(load, {})
    expected = exact(arrivals(load), service_s)
    theory = long_run(share) if kind == "M/M/c" else {}
    cells = []
    for rank in RANKS:
        measured, known = (float(np.percentile(one, rank)) for one in (result.latencies_s, expected))
        beside = f", {1000 * theory[rank]:.1f}" if theory else ""
        cells.append(f"p{rank} {1000 * measured:6.1f} ({1000 * known:.1f}{beside}) {measured / known - 1:+.1%}")
    late = 1000 * float(np.percentile(result.late_s, 99))
    print(f"{kind} {share:.0%} of {WORKERS / SERVICE_S:.0f}/s: {'   '.join(cells)}   late p99 {late:.2f} ms")


def highest_rate() -> None:
    """Print which rates the generator offers to an Envoy that responds at once, and how late its calls are."""
    profile = ServiceProfile(replicas=2, service_time_ms=0, burst=10**6, rate_per_s=10**6, mtls=False)
    with EmbeddedMesh(profile=profile) as mesh:
        for rate in (500, 1000, 2000, 3000, 4000, 6000, 8000):
            try:
                response = mesh.measure_policy({}, Load(rate_per_s=rate, duration_s=2, arrivals="poisson"))
            except MeshError as error:
                print(f"{rate}/s: {error}")
                break
            assert isinstance(response.details, dict)
            p50, p99, late = (
                1000 * response.details[name] for name in ("latency_p50_s", "latency_p99_s", "late_p99_s")
            )
            print(f"{rate}/s: {response.qps:.0f}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms, late p99 {late:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="of each run")
    seconds = parser.parse_args().seconds
    print(f"{WORKERS} workers of {1000 * SERVICE_S:g} ms; ms, in brackets: exact, and in the long run")
    for kind in ("M/D/c", "M/M/c"):
        for share in (0.5, 0.8, 0.95):
            against_theory(kind, share, seconds)
    if fortio := os.environ.get("MESHGYM_FORTIO"):
        for share in (0.5, 0.8, 0.95):
            beside_fortio(fortio, share, seconds)
    highest_rate()


if __name__ == "__main__":
    main()

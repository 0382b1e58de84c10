"""Services of the embedded mesh's tests, and their processes."""

import os
import time
from pathlib import Path

from meshgym.mesh.embedded.bootstrap import socket_in
from meshgym.mesh.embedded.process import Admin
from meshgym.service.profile import ServiceProfile
from meshgym.types import TrafficRules

WIDE = TrafficRules(1000, 1000, 10_000, 180, 100, 1, 0)  # nothing overflows, nothing is ejected
PLENTY = ServiceProfile(replicas=2, service_time_ms=1, burst=100_000, rate_per_s=20_000, mtls=False, proxy_workers=1)


def counts(response):
    names = ("ok", "overflow", "no_healthy_host", "upstream_error", "other_error")
    return {name: response.details[name] for name in names if response.details[name]}


def envoys_in(folder):
    """Process ids of the Envoys of a mesh, by name."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0") if entry.name.isdigit() else []
            alive = words and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            continue  # it ended while we looked
        for name in ("sidecar", "service"):
            if alive and words[0].endswith("envoy") and f"{folder}/{name}.json" in words:
                found[name] = int(entry.name)
    return found


def wait(condition, seconds=10):
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def when_busy(mesh, victim, number):
    """Send a signal to an Envoy in the middle of a run; return its process id."""
    admin = Admin("sidecar", socket_in(mesh._envoys.folder, "sidecar"))
    before = sum(map(int, admin.stats("upstream_rq_completed$").values()))
    wait(lambda: sum(map(int, admin.stats("upstream_rq_completed$").values())) > before + 20)
    admin.close()
    pid = envoys_in(mesh._envoys.folder)[victim]
    os.kill(pid, number)
    return pid

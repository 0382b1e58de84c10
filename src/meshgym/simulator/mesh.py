"""A mesh that answers from a simulator instead of real traffic."""

from __future__ import annotations

from typing import Any

import numpy as np

from meshgym.errors import MeshError
from meshgym.mesh.base import Mesh
from meshgym.simulator.artefact import Prediction, Simulator
from meshgym.types import Load, Response, Setting, TrafficRules


class SimulatedMesh(Mesh):
    """The mesh interface over a simulator.

    Args:
        simulator: what answers.
        sample: draw each answer from the predictive distribution, as a real mesh's answers scatter,
            instead of giving the expected one.
        seed: of the draws.
    """

    live = False

    def __init__(self, simulator: Simulator, *, sample: bool = False, seed: int | None = None) -> None:
        self.simulator = simulator
        self.sample = sample
        self._generator = np.random.default_rng(seed)
        self._closed = False

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        """The expected response, or a drawn one.

        Raises:
            MeshError: the mesh is closed.
        """
        answer = self.predict([Setting(rules, load).to_row()])
        return Response(qps=float(answer.qps[0]), p200=float(answer.p200[0]), p503=float(answer.p503[0]))

    def predict(self, settings: Any) -> Prediction:
        """Answers to many settings at once.

        Args:
            settings: shape (n, 9), columns as ``meshgym.types.SETTING_NAMES``.

        Raises:
            InvalidValueError: another shape, or a number that is not finite.
            MeshError: the mesh is closed.
        """
        if self._closed:
            raise MeshError("the mesh is closed; make a new SimulatedMesh")
        expected = self.simulator.predict(settings)
        if not self.sample:
            return expected
        return draw(expected, float(self.simulator.scaling.correlation), self._generator)

    def close(self) -> None:
        """Refuse further questions."""
        self._closed = True


def draw(expected: Prediction, correlation: float, generator: np.random.Generator) -> Prediction:
    """Responses as single runs would give them: normal around the expected ones, then clipped.

    Args:
        expected: n predictions.
        correlation: of the deviations of qps and p503, -1..1.
        generator: two draws a prediction are taken from it.

    Returns:
        n predictions with drawn ``qps``, ``p503`` and ``p200``; the share that is neither 200 nor 503 stays.
    """
    first, second = generator.standard_normal((2, len(expected)), dtype=np.float32)
    second = np.float32(correlation) * first + np.float32(np.sqrt(1 - correlation**2)) * second
    other = 1 - expected.p200 - expected.p503
    p503 = np.clip(expected.p503 + second * expected.p503_std, 0, 1 - other)
    return Prediction(
        qps=np.maximum(expected.qps + first * expected.qps_std, 0),
        p200=np.clip(1 - p503 - other, 0, 1),
        p503=p503,
        qps_std=expected.qps_std,
        p503_std=expected.p503_std,
        outside=expected.outside,
    )

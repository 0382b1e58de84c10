"""A trained simulator and its file: weights, scaling, identity, and a checksum over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import SimulatorError
from meshgym.fields import OUTCOMES
from meshgym.files import Arrays, read_arrays, reading, write_arrays
from meshgym.scenarios import Scenario
from meshgym.simulator.calibration import Calibration, deviation, draw, knots_of
from meshgym.simulator.features import Features
from meshgym.simulator.kinds import starting
from meshgym.simulator.outcomes import to_outcomes, to_range
from meshgym.simulator.parts import REMEDY, parts_of, parts_to_arrays, sealed, unsealed
from meshgym.simulator.predictor import Predictor
from meshgym.simulator.scaling import Scaling
from meshgym.traces.outcomes import FIRST
from meshgym.types import RESPONSE_NAMES, SETTING_NAMES, Response, check_settings

FloatArray = NDArray[np.float64]

#: Version of the file's layout and of the features; raised when either changes.
SCHEMA = 3


@dataclass(frozen=True)
class Identity:
    """Where a simulator comes from, and how good it is.

    Attributes:
        scenario: name of the scenario the traces were collected for.
        traces: sha256 of the trace set that it learned from (see ``meshgym.traces.store.trace_hash``).
        seed: of the split and of the training.
        versions: of meshgym and of the libraries that trained it.
        kind: what cross-validation chose to predict with, see :data:`meshgym.simulator.kinds.KINDS`.
        recipe: name of the network and training that it chose; empty without perceptrons.
        errors: mean squared error of each kind in cross-validation, on standardised qps and p503.
        metrics: on the test part, e.g. ``mse``, ``rmse_qps``, ``coverage_90_p503``.
        schema: version of the file's layout.
        outcomes: what it predicts, in the order of the predictor's targets; those of ``FIRST`` come first.
        constant: further outcomes, which were the same in all runs.
        settings: columns of the settings it predicts: the rules that vary, then the load.
        fixed: values of other rules that its features need.
        prior: hash of the simulator that it was calibrated from, and its cross-validated error; empty without.
    """

    scenario: str
    traces: str
    seed: int
    kind: str = "perceptrons"
    recipe: str = ""
    errors: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    schema: int = SCHEMA
    outcomes: tuple[str, ...] = FIRST
    constant: Mapping[str, float] = field(default_factory=dict)
    settings: tuple[str, ...] = SETTING_NAMES
    fixed: Mapping[str, float] = field(default_factory=dict)
    prior: Mapping[str, Any] = field(default_factory=dict)


class PriorFeatures(Features):
    """Features of settings, and what another simulator predicts of them: qps and p503.

    Args:
        features: of the settings.
        prior: the other simulator.
    """

    predictions = len(FIRST)

    def __init__(self, features: Features, prior: Simulator) -> None:
        super().__init__(features.settings, features.fixed)
        self._prior = prior
        self.names = (*self.names, "prior_qps", "prior_p503")

    def derive(self, settings: Any) -> FloatArray:
        response = self._prior.predict(settings)
        return np.column_stack([super().derive(settings), response.qps, response.p503])


class Simulator:
    """Predicts the response of a mesh to rules and load.

    Args:
        predictor: predicts standardised targets and the quantiles of their deviations.
        scaling: translates between settings, predictor and targets.
        identity: where the simulator comes from.
        calibration: makes the quantiles hold; None leaves them as they are.
        prior: a simulator whose predictions are inputs of this one's predictor.

    Attributes:
        further: the outcomes in the ``details`` of its responses.
    """

    def __init__(
        self,
        predictor: Predictor,
        scaling: Scaling,
        identity: Identity,
        calibration: Calibration | None = None,
        prior: Simulator | None = None,
    ) -> None:
        self.predictor = predictor
        self.scaling = scaling
        self.identity = identity
        self.calibration = calibration or Calibration.none(len(identity.outcomes))
        known = {*identity.outcomes, *identity.constant}
        self.further = tuple(name for name in OUTCOMES if name in known and name not in RESPONSE_NAMES)
        self.prior = prior
        plain = Features(identity.settings, identity.fixed)
        self.features = plain if prior is None else PriorFeatures(plain, prior)
        self.tables: dict[str, Any] = {}  # see meshgym.simulator.table.response_table

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "tables": {}}  # copies and pickles make their own tables

    @property
    def sha256(self) -> str:
        """Hash of everything the simulator is made of; its file holds the same."""
        return str(self.to_arrays()["sha256"])

    def predict(self, settings: Any) -> Response:
        """Predict the expected responses and their spread.

        The response to a setting is the same to the last bit in every batch. The expected latency is the geometric
        mean over runs.

        Args:
            settings: shape (n, columns), columns as ``identity.settings``.

        Returns:
            float32 arrays of shape (n,), ``outside`` of bool.

        Raises:
            InvalidValueError: another shape, or a number that isn't finite.
        """
        settings = check_settings(settings, self.identity.settings)
        mean, quantiles = self._distributions(settings, len(FIRST))
        return self._respond(settings, mean, deviation(quantiles))

    def sample(self, settings: Any, generator: np.random.Generator) -> Response:
        """Draw responses as single runs would give them; arguments and result as of :meth:`predict`.

        Args:
            settings: see :meth:`predict`.
            generator: one number per outcome and response is drawn from it.
        """
        settings = check_settings(settings, self.identity.settings)
        _, quantiles = self._distributions(settings)
        drawn = draw(quantiles, self.calibration.correlation, generator)
        return self._respond(settings, drawn, deviation(quantiles[:, : len(FIRST)]))

    def knots(self, settings: FloatArray, first: int | None = None) -> FloatArray:
        """Return the distributions that :meth:`sample` draws targets from, in their units, not yet within their ranges.

        Args:
            settings: shape (n, columns).
            first: how many of the targets; None for all.

        Returns:
            Shape (n, targets, knots); see :func:`meshgym.simulator.calibration.places`.
        """
        _, knots = knots_of(self._distributions(settings, first)[1])
        scale, middle = (part[:first, None] for part in (self.scaling.output_scale, self.scaling.output_mean))
        found: FloatArray = knots * scale + middle
        return found

    def intervals(self, settings: Any) -> dict[str, FloatArray]:
        """Predict where 90 % of single runs lie.

        Args:
            settings: see :meth:`predict`.

        Returns:
            For each outcome the lower and the upper end, shape (n, 2).
        """
        settings = check_settings(settings, self.identity.settings)
        _, quantiles = self._distributions(settings)
        names = self.identity.outcomes
        ends = [self.scaling.to_units(quantiles[..., end]) for end in (0, -1)]
        found = {
            name: to_range(name, np.column_stack([end[:, target] for end in ends])) for target, name in enumerate(names)
        }
        return found | {name: np.full((len(settings), 2), value) for name, value in self.identity.constant.items()}

    def _distributions(self, settings: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Return standardised expected targets, (n, targets), and quantiles of the first ones, (n, first, levels)."""
        mean, residual = self.predictor(self.scaling.inputs(self.features.derive(settings)), first)
        return mean, self.calibration.quantiles(mean[:, :first], residual)

    def _respond(self, settings: FloatArray, targets: FloatArray, std: FloatArray) -> Response:
        """Return standardised targets and deviations of the first ones as a response."""
        scale = self.scaling
        found = to_outcomes(self.identity.outcomes, scale.to_units(targets), self.identity.constant)
        std = std * scale.output_scale[: len(FIRST)]
        outside = ((settings < scale.low) | (settings > scale.high)).any(axis=1)
        columns = {name: values.astype(np.float32) for name, values in found.items()}
        further = {name: columns[name] for name in self.further} or None
        first = (columns[name] for name in RESPONSE_NAMES)
        return Response._make([*first, *std.T.astype(np.float32), outside, further])

    def check_fields(self, scenario: Scenario, name: str = "the simulator") -> None:
        """Check that the simulator predicts from the fields that a scenario varies, whatever its service.

        Args:
            scenario: what is asked about.
            name: what the message calls the simulator.

        Raises:
            SimulatorError: it predicts from others.
        """
        if self.identity.settings != scenario.setting_names:
            raise SimulatorError(
                f"{name} predicts from {', '.join(self.identity.settings)}, and scenario {scenario.name} varies "
                f"{', '.join(scenario.setting_names)}; give a simulator of the same fields"
            )

    def check_fits(self, scenario: Scenario) -> None:
        """Check that the simulator was fitted for this scenario.

        Raises:
            SimulatorError: it was fitted for another one.
        """
        fitted, name = self.identity.scenario, scenario.name
        features = Features.of(scenario)
        if (self.features.settings, self.features.fixed) != (features.settings, features.fixed):
            raise SimulatorError(
                f"the simulator was fitted for the fields {', '.join(self.features.names)} and the fixed values "
                f"{self.features.fixed}, and the scenario {name} has others. Fit one for it: "
                f"meshgym fit --scenario {name}"
            )
        if fitted != name:
            raise SimulatorError(
                f"the simulator was fitted for scenario {fitted}, not for {name}. Give one that was fitted for {name} "
                f"(meshgym fit --scenario {name} --traces FILE), or use it with scenario {fitted}"
            )

    def save(self, path: str | Path) -> Path:
        """Write one ``.npz`` file without pickle; the same simulator always gives the same bytes.

        Raises:
            FolderError: the file can't be written.
        """
        return write_arrays(path, self.to_arrays())

    @classmethod
    def load(cls, path: str | Path) -> Simulator:
        """Read what :meth:`save` wrote.

        Raises:
            SimulatorError: the file is missing, damaged, edited, or of another kind or version.
        """
        with reading(path, "a simulator file", SimulatorError, REMEDY):
            return cls.from_arrays(read_arrays(path), str(path))

    def to_arrays(self) -> Arrays:
        """Return everything the simulator is made of as arrays without objects, and a checksum over them."""
        identity = asdict(self.identity) | {"features": self.features.names}
        arrays = parts_to_arrays(identity, self.predictor, self.scaling, self.calibration)
        if self.prior is not None:
            arrays |= {f"prior_{name}": array for name, array in self.prior.to_arrays().items()}
        return sealed(arrays)

    @classmethod
    def from_arrays(cls, arrays: Arrays, source: str) -> Simulator:
        """Make a simulator from what :meth:`to_arrays` returned.

        Args:
            arrays: left unchanged.
            source: where they come from, for messages.

        Raises:
            SimulatorError: the arrays are not a simulator, edited, or of another version.
            Exception: they are damaged; use it inside :func:`meshgym.files.reading`.
        """
        identity, parts = unsealed(arrays, source)
        found, features = identity.get("schema"), tuple(identity.pop("features", ()))
        if found == SCHEMA:
            identity |= {name: tuple(identity[name]) for name in ("settings", "outcomes")}
        own = Features(identity["settings"], identity["fixed"]) if found == SCHEMA else None
        if own is None or features[: len(own.names)] != own.names:
            raise SimulatorError(f"{source} has layout {found}, this meshgym reads layout {SCHEMA}. {REMEDY}")
        before = starting("prior_", parts)
        prior = cls.from_arrays(before, source) if before else None
        predictor, scaling, calibration = parts_of(parts, identity["kind"])
        simulator = cls(predictor, scaling, Identity(**identity), calibration, prior)
        simulator.intervals(scaling.low[None])  # shapes that don't fit together show here, not in a training
        return simulator

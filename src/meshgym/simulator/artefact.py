"""A trained simulator and its file: weights, scaling, identity, and a checksum over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import SimulatorError
from meshgym.fields import OUTCOMES
from meshgym.files import Arrays, check_finite, digest, parse_json, read_arrays, reading, write_arrays
from meshgym.scenarios import Scenario
from meshgym.simulator.calibration import LEVELS, Calibration, deviation, draw
from meshgym.simulator.features import Features, encode
from meshgym.simulator.network import Ensemble
from meshgym.simulator.outcomes import to_outcomes, to_range
from meshgym.traces.outcomes import FIRST
from meshgym.types import RESPONSE_NAMES, SETTING_NAMES, Response, check_settings

FloatArray = NDArray[np.float64]
Part = TypeVar("Part", "Scaling", Calibration)

#: Version of the file's layout and of the features; raised when either changes.
SCHEMA = 2
_REMEDY = "Fit it again with: meshgym fit"


@dataclass(frozen=True)
class Identity:
    """Where a simulator comes from, and how good it is.

    Attributes:
        scenario: name of the scenario the traces were collected for.
        traces: sha256 of the trace set that it learned from (see ``meshgym.traces.store.trace_hash``).
        seed: of the split and of the training.
        versions: of meshgym and of the libraries that trained it.
        recipe: name of the network and training that cross-validation chose.
        metrics: on the test part, e.g. ``mse``, ``rmse_qps``, ``coverage_90_p503``.
        schema: version of the file's layout.
        outcomes: what it predicts, in the order of the network's outputs; those of ``FIRST`` come first.
        constant: further outcomes, which were the same in all runs.
        settings: columns of the settings it predicts: the rules that vary, then the load.
        fixed: values of other rules that its features need.
    """

    scenario: str
    traces: str
    seed: int
    recipe: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    schema: int = SCHEMA
    outcomes: tuple[str, ...] = FIRST
    constant: Mapping[str, float] = field(default_factory=dict)
    settings: tuple[str, ...] = SETTING_NAMES
    fixed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scaling:
    """Translates settings to inputs of the network, and outputs of the network to targets.

    Attributes:
        low, high: ranges of the settings in the traces, shape (columns,).
        input_mean, input_scale: of the derived features, then of the encoded ones, shape (features + k,).
        output_mean, output_scale: of the targets, in their units, shape (targets,).
        knots: intervals the features are encoded in (see ``features.encode``), shape (k, 3).

    The targets are the identity's ``outcomes``, see :func:`meshgym.simulator.outcomes.to_target`.
    """

    low: FloatArray
    high: FloatArray
    input_mean: FloatArray
    input_scale: FloatArray
    output_mean: FloatArray
    output_scale: FloatArray
    knots: FloatArray = field(default_factory=lambda: np.empty((0, 3)))

    def inputs(self, features: FloatArray) -> FloatArray:
        """Return the network's standardised inputs, shape (n, features + k), for features of settings."""
        whole = np.hstack([features, encode(features, self.knots)])
        standard: FloatArray = (whole - self.input_mean) / self.input_scale
        return standard


class Simulator:
    """Predicts the response of a mesh to rules and load.

    Args:
        ensemble: the networks; they return the standardised targets, then for each of them the quantiles of its
            deviation.
        scaling: translates between settings, network and targets.
        identity: where the simulator comes from.
        calibration: makes the quantiles hold; None leaves them as they are.

    Attributes:
        further: the outcomes in the ``details`` of its responses.
    """

    def __init__(
        self, ensemble: Ensemble, scaling: Scaling, identity: Identity, calibration: Calibration | None = None
    ) -> None:
        self.ensemble = ensemble
        self.scaling = scaling
        self.identity = identity
        self.calibration = calibration or Calibration.none(len(identity.outcomes))
        known = {*identity.outcomes, *identity.constant}
        self.further = tuple(name for name in OUTCOMES if name in known and name not in RESPONSE_NAMES)
        self.features = Features(identity.settings, identity.fixed)
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
        ends = quantiles[..., [0, -1]] * self.scaling.output_scale[:, None] + self.scaling.output_mean[:, None]
        found = {name: to_range(name, ends[:, target]) for target, name in enumerate(names)}
        return found | {name: np.full((len(settings), 2), value) for name, value in self.identity.constant.items()}

    def _distributions(self, settings: FloatArray, first: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Return standardised expected targets, (n, targets), and quantiles of the first ones, (n, first, levels)."""
        targets = len(self.identity.outcomes)
        first = targets if first is None else first
        inputs = self.scaling.inputs(self.features.derive(settings))
        outputs = self.ensemble(inputs, targets + first * len(LEVELS)).mean(axis=0)
        mean, residual = outputs[:, :targets], outputs[:, targets:].reshape(-1, first, len(LEVELS))
        return mean, self.calibration.quantiles(mean[:, :first], residual)

    def _respond(self, settings: FloatArray, targets: FloatArray, std: FloatArray) -> Response:
        """Return standardised targets and deviations of the first ones as a response."""
        scale = self.scaling
        found = to_outcomes(
            self.identity.outcomes, targets * scale.output_scale + scale.output_mean, self.identity.constant
        )
        std = std * scale.output_scale[: len(FIRST)]
        outside = ((settings < scale.low) | (settings > scale.high)).any(axis=1)
        columns = {name: values.astype(np.float32) for name, values in found.items()}
        further = {name: columns[name] for name in self.further} or None
        first = (columns[name] for name in RESPONSE_NAMES)
        return Response._make([*first, *std.T.astype(np.float32), outside, further])

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
        with reading(path, "a simulator file", SimulatorError, _REMEDY):
            return cls.from_arrays(read_arrays(path), str(path))

    def to_arrays(self) -> Arrays:
        """Return everything the simulator is made of as arrays without objects, and a checksum over them."""
        identity = asdict(self.identity) | {"features": self.features.names}
        arrays: Arrays = {"identity": np.array(json.dumps(identity, sort_keys=True))}
        for part in (self.scaling, self.calibration):
            arrays |= {f"{_prefix(type(part))}_{column.name}": getattr(part, column.name) for column in fields(part)}
        for number, (weight, bias) in enumerate(zip(self.ensemble.weights, self.ensemble.biases, strict=True)):
            arrays |= {f"weight_{number}": weight, f"bias_{number}": bias}
        return arrays | {"sha256": np.array(digest(arrays))}

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
        if not {"identity", "sha256"} <= set(arrays):
            raise SimulatorError(f"{source} is an .npz file, but not a simulator. {_REMEDY}")
        parts = {name: array for name, array in arrays.items() if name != "sha256"}
        if str(arrays["sha256"]) != digest(parts):
            raise SimulatorError(f"{source} was edited or damaged: its checksum doesn't fit. {_REMEDY}")
        identity = parse_json(str(parts["identity"]))
        found, features = identity.get("schema"), tuple(identity.pop("features", ()))
        if found == SCHEMA:
            identity |= {name: tuple(identity[name]) for name in ("settings", "outcomes")}
        if found != SCHEMA or features != Features(identity["settings"], identity["fixed"]).names:
            raise SimulatorError(f"{source} has layout {found}, this meshgym reads layout {SCHEMA}. {_REMEDY}")
        check_finite(parts)
        layers = range(sum(name.startswith("weight_") for name in parts))
        ensemble = Ensemble(
            weights=tuple(parts[f"weight_{number}"] for number in layers),
            biases=tuple(parts[f"bias_{number}"] for number in layers),
        )
        scaling, calibration = _part(Scaling, parts), _part(Calibration, parts)
        simulator = cls(ensemble, scaling, Identity(**identity), calibration)
        simulator.intervals(scaling.low[None])  # shapes that don't fit together show here, not in a training
        return simulator


def _part(kind: type[Part], arrays: Arrays) -> Part:
    """Make a part of a simulator from the arrays of its file."""
    return kind(**{column.name: arrays[f"{_prefix(kind)}_{column.name}"] for column in fields(kind)})


def _prefix(kind: type) -> str:
    return kind.__name__.lower()

"""A trained simulator and its file: weights, scaling, identity, and a checksum over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import SimulatorError
from meshgym.files import Arrays, check_finite, digest, parse_json, read_arrays, reading, write_arrays
from meshgym.scenarios import Scenario
from meshgym.simulator.features import Features, encode
from meshgym.simulator.network import Ensemble
from meshgym.types import SETTING_NAMES, Response, check_settings

FloatArray = NDArray[np.float64]

#: Version of the file's layout and of the features; raised when either changes.
SCHEMA = 1
_REMEDY = "Fit it again with: meshgym fit"
#: 90 % of single runs lie within this many standard deviations of the expected response.
NINETY = 1.6448536269514722


@dataclass(frozen=True)
class Identity:
    """Where a simulator comes from, and how good it is.

    Attributes:
        scenario: name of the scenario the traces were collected for.
        traces: sha256 of the trace set that it learned from (see ``meshgym.traces.store.trace_hash``).
        seed: of the split and of the training.
        versions: of meshgym and of the libraries that trained it.
        recipe: name of the network and training that cross-validation chose.
        metrics: on the test part, e.g. ``mse``, ``mse_qps``, ``mse_p503``, ``coverage_90``.
        schema: version of the file's layout.
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
    settings: tuple[str, ...] = SETTING_NAMES
    fixed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scaling:
    """Translates settings to inputs of the network, and outputs of the network to responses.

    Attributes:
        low, high: ranges of the settings in the traces, shape (columns,).
        input_mean, input_scale: of the derived features, then of the encoded ones, shape (features + k,).
        output_mean, output_scale: of the targets, in their units, shape (targets,).
        spread: factor that calibrates the predicted standard deviations, shape (targets,).
        correlation: of the deviations of qps and p503 from their predictions, shape ().
        knots: intervals the features are encoded in (see ``features.encode``), shape (k, 3).

    The targets are qps, p503 and, unless p200 is always 1 - p503, p200.
    """

    low: FloatArray
    high: FloatArray
    input_mean: FloatArray
    input_scale: FloatArray
    output_mean: FloatArray
    output_scale: FloatArray
    spread: FloatArray
    correlation: FloatArray
    knots: FloatArray = field(default_factory=lambda: np.empty((0, 3)))

    def inputs(self, features: FloatArray) -> FloatArray:
        """Return the network's standardised inputs, shape (n, features + k), for features of settings."""
        whole = np.hstack([features, encode(features, self.knots)])
        standard: FloatArray = (whole - self.input_mean) / self.input_scale
        return standard


class Simulator:
    """Predicts the response of a mesh to rules and load.

    Args:
        ensemble: the networks; they return the standardised targets, then their standard deviations.
        scaling: translates between settings, network and responses.
        identity: where the simulator comes from.
    """

    def __init__(self, ensemble: Ensemble, scaling: Scaling, identity: Identity) -> None:
        self.ensemble = ensemble
        self.scaling = scaling
        self.identity = identity
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

        The response to a setting is the same to the last bit in every batch.

        Args:
            settings: shape (n, columns), columns as ``identity.settings``.

        Returns:
            float32 arrays of shape (n,), ``outside`` of bool.

        Raises:
            InvalidValueError: another shape, or a number that isn't finite.
        """
        settings = check_settings(settings, self.identity.settings)
        scale = self.scaling
        outputs = self.ensemble(scale.inputs(self.features.derive(settings)))
        targets = len(scale.output_mean)
        members, deviations = outputs[..., :targets], outputs[..., targets:]
        mean = members.mean(axis=0) * scale.output_scale + scale.output_mean
        variance = members.var(axis=0) + np.square(deviations).mean(axis=0)
        std = np.sqrt(variance) * scale.spread * scale.output_scale
        p503 = np.clip(mean[:, 1], 0, 1)
        p200 = 1 - p503 if targets == 2 else np.clip(mean[:, 2], 0, 1 - p503)
        outside = ((settings < scale.low) | (settings > scale.high)).any(axis=1)
        columns = (np.maximum(mean[:, 0], 0), p200, p503, std[:, 0], std[:, 1])
        return Response._make([*(column.astype(np.float32) for column in columns), outside, None])

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
        for name, usual in (("settings", SETTING_NAMES), ("fixed", {})):
            if identity[name] == usual:
                del identity[name]  # as before there were others
        arrays: Arrays = {"identity": np.array(json.dumps(identity, sort_keys=True))}
        arrays |= {f"scaling_{column.name}": getattr(self.scaling, column.name) for column in fields(Scaling)}
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
        names, fixed = tuple(identity.pop("settings", SETTING_NAMES)), identity.pop("fixed", {})
        features = tuple(identity.pop("features", ()))
        if identity.get("schema") != SCHEMA or features != Features(names, fixed).names:
            found = identity.get("schema")
            raise SimulatorError(f"{source} has layout {found}, this meshgym reads layout {SCHEMA}. {_REMEDY}")
        check_finite(parts)
        layers = range(sum(name.startswith("weight_") for name in parts))
        ensemble = Ensemble(
            weights=tuple(parts[f"weight_{number}"] for number in layers),
            biases=tuple(parts[f"bias_{number}"] for number in layers),
        )
        scaling = Scaling(**{column.name: parts[f"scaling_{column.name}"] for column in fields(Scaling)})
        simulator = cls(ensemble, scaling, Identity(**identity, settings=names, fixed=fixed))
        simulator.predict(scaling.low[None])  # shapes that don't fit together show here, not in a training
        return simulator

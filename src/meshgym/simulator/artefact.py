"""A trained simulator and its file: weights, scaling, identity, and a checksum over all of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError, SimulatorError
from meshgym.files import UNREADABLE, Arrays, read_arrays, write_arrays
from meshgym.simulator.features import FEATURE_NAMES, derive, encode
from meshgym.simulator.network import Ensemble
from meshgym.types import SETTING_NAMES

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

#: Version of the file's layout and of :data:`FEATURE_NAMES`; raised when either changes.
SCHEMA = 1
_REMEDY = "Fit it again with: meshgym fit"
#: Standard deviations on either side of the expected measurement that hold 90 % of single runs.
NINETY = 1.6448536269514722


@dataclass(frozen=True)
class Prediction:
    """What a mesh is expected to answer, one entry a setting, all of shape (n,).

    Attributes:
        qps: expected answers a second, 0 and above.
        p200: expected share of 200s, 0..1.
        p503: expected share of 503s, 0..1.
        qps_std: standard deviation of one measured run around ``qps``, in 1/s.
        p503_std: the same around ``p503``, as a share.
        outside: whether a setting lies outside the ranges of the traces the simulator learned from.
    """

    qps: Float32Array
    p200: Float32Array
    p503: Float32Array
    qps_std: Float32Array
    p503_std: Float32Array
    outside: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.qps)


PREDICTION_NAMES: tuple[str, ...] = tuple(column.name for column in fields(Prediction))


@dataclass(frozen=True)
class Identity:
    """Where a simulator comes from and how good it is.

    Attributes:
        scenario: name of the scenario the traces were collected for.
        traces: sha256 of the trace set it learned from (see ``meshgym.traces.store.trace_hash``).
        seed: of the split and of the training.
        versions: of meshgym and of the libraries that trained it.
        recipe: name of the network and training that cross-validation chose.
        metrics: on the held-out part, e.g. ``mse``, ``mse_qps``, ``mse_p503``, ``coverage_90``.
        schema: version of the file's layout.
    """

    scenario: str
    traces: str
    seed: int
    recipe: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    schema: int = SCHEMA


@dataclass(frozen=True)
class Scaling:
    """How settings become inputs of the network, and its outputs measurements.

    Attributes:
        low, high: ranges of the settings in the traces, shape (9,).
        input_mean, input_scale: of the features, the encoded ones behind the derived, shape (features + k,).
        output_mean, output_scale: of the targets in units, shape (targets,).
        spread: factor on the predicted standard deviations that makes them fit, shape (targets,).
        correlation: of the deviations of qps and p503 from their predictions, shape ().
        knots: intervals the features are encoded in (see ``features.encode``), shape (k, 3).

    The targets are qps, p503 and, where a 200 is not simply what is no 503, p200.
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

    def inputs(self, settings: FloatArray) -> FloatArray:
        """Standardised inputs of the network, shape (n, features + k), from settings, shape (n, 9)."""
        features = derive(settings)
        features = np.hstack([features, encode(features, self.knots)])
        standard: FloatArray = (features - self.input_mean) / self.input_scale
        return standard


class Simulator:
    """Predicts what a mesh answers to rules and load.

    Args:
        ensemble: its outputs are the standardised targets, then their standard deviations.
        scaling: between settings, network and units.
        identity: where it comes from.
    """

    def __init__(self, ensemble: Ensemble, scaling: Scaling, identity: Identity) -> None:
        self.ensemble = ensemble
        self.scaling = scaling
        self.identity = identity
        self.tables: dict[str, Any] = {}  # see meshgym.simulator.table.response_table

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "tables": {}}  # copies and pickles make their own tables again

    @property
    def sha256(self) -> str:
        """Hash of all it is made of, as its file holds it."""
        return str(self.to_arrays()["sha256"])

    def predict(self, settings: Any) -> Prediction:
        """Expected measurements and their spread.

        A row has the same answer to the last bit whatever batch it stands in.

        Args:
            settings: shape (n, 9), columns as ``meshgym.types.SETTING_NAMES``.

        Raises:
            InvalidValueError: another shape, or a number that is not finite.
        """
        settings = _checked(settings)
        scale = self.scaling
        outputs = self.ensemble(scale.inputs(settings))
        targets = len(scale.output_mean)
        members, deviations = outputs[..., :targets], outputs[..., targets:]
        mean = members.mean(axis=0) * scale.output_scale + scale.output_mean
        variance = members.var(axis=0) + np.square(deviations).mean(axis=0)
        std = np.sqrt(variance) * scale.spread * scale.output_scale
        p503 = np.clip(mean[:, 1], 0, 1)
        p200 = 1 - p503 if targets == 2 else np.clip(mean[:, 2], 0, 1 - p503)
        outside = ((settings < scale.low) | (settings > scale.high)).any(axis=1)
        return Prediction(
            qps=np.maximum(mean[:, 0], 0).astype(np.float32),
            p200=p200.astype(np.float32),
            p503=p503.astype(np.float32),
            qps_std=std[:, 0].astype(np.float32),
            p503_std=std[:, 1].astype(np.float32),
            outside=outside,
        )

    def save(self, path: str | Path) -> Path:
        """Write one ``.npz`` file (no pickle); the same simulator always gives the same bytes.

        Raises:
            FolderError: the file cannot be written.
        """
        return write_arrays(path, self.to_arrays())

    @classmethod
    def load(cls, path: str | Path) -> Simulator:
        """Read what :meth:`save` wrote.

        Raises:
            SimulatorError: no such file, a damaged or edited one, or one of another kind or version.
        """
        try:
            arrays = read_arrays(path)
        except FileNotFoundError:
            raise SimulatorError(f"there is no simulator file {path}. {_REMEDY}") from None
        except UNREADABLE as error:
            raise SimulatorError(f"{path} is no simulator file, or a damaged one ({error}). {_REMEDY}") from error
        return cls.from_arrays(arrays, str(path))

    def to_arrays(self) -> Arrays:
        """Return all the simulator is made of as arrays (no objects), a checksum over them included."""
        identity = asdict(self.identity) | {"features": FEATURE_NAMES}
        arrays: Arrays = {"identity": np.array(json.dumps(identity, sort_keys=True))}
        arrays |= {f"scaling_{column.name}": getattr(self.scaling, column.name) for column in fields(Scaling)}
        for number, (weight, bias) in enumerate(zip(self.ensemble.weights, self.ensemble.biases, strict=True)):
            arrays |= {f"weight_{number}": weight, f"bias_{number}": bias}
        return arrays | {"sha256": np.array(_digest(arrays))}

    @classmethod
    def from_arrays(cls, arrays: Arrays, source: str) -> Simulator:
        """Make a simulator of what :meth:`to_arrays` returned.

        Args:
            arrays: they stay as they are.
            source: where they come from, for messages.

        Raises:
            SimulatorError: no simulator, an edited or damaged one, or one of another version.
        """
        if not {"identity", "sha256"} <= set(arrays):
            raise SimulatorError(f"{source} is an .npz file, but no simulator. {_REMEDY}")
        parts = {name: array for name, array in arrays.items() if name != "sha256"}
        if str(arrays["sha256"]) != _digest(parts):
            raise SimulatorError(f"{source} was edited or damaged: its checksum does not fit. {_REMEDY}")
        identity = json.loads(str(parts["identity"]))
        if identity.get("schema") != SCHEMA or tuple(identity.pop("features", ())) != FEATURE_NAMES:
            found = identity.get("schema")
            raise SimulatorError(f"{source} has layout {found}, this meshgym reads layout {SCHEMA}. {_REMEDY}")
        layers = range(sum(name.startswith("weight_") for name in parts))
        ensemble = Ensemble(
            weights=tuple(parts[f"weight_{number}"] for number in layers),
            biases=tuple(parts[f"bias_{number}"] for number in layers),
        )
        scaling = Scaling(**{column.name: parts[f"scaling_{column.name}"] for column in fields(Scaling)})
        return cls(ensemble, scaling, Identity(**identity))


def _checked(settings: Any) -> FloatArray:
    matrix: FloatArray = np.asarray(settings, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != len(SETTING_NAMES):
        raise InvalidValueError("shape of settings", matrix.shape, f"(n, 9): {', '.join(SETTING_NAMES)}")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise InvalidValueError(f"row {row} of settings", matrix[row].tolist(), "finite numbers")
    return matrix


def _digest(arrays: Arrays) -> str:
    """sha256 over names, types, shapes and contents."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

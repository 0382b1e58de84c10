"""A simulator of sequences: what an interval brings depends on what the intervals before have left.

It sees a :class:`History`: what was ejected and connected, the last responses, and for how long the rules hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import InvalidValueError, SimulatorError
from meshgym.files import Arrays, read_arrays, reading, write_arrays
from meshgym.mesh.sequences import COUNTED, SHARES, Sequences
from meshgym.scenarios import CONTROL_SCENARIO, Scenario
from meshgym.simulator.calibration import Calibration, knots_of, places
from meshgym.simulator.features import Features
from meshgym.simulator.outcomes import to_outcomes
from meshgym.simulator.parts import REMEDY, parts_of, parts_to_arrays, sealed, unsealed
from meshgym.simulator.predictor import Predictor
from meshgym.simulator.scaling import Scaling
from meshgym.types import Response

FloatArray = NDArray[np.float64]
#: Version of the file's layout, and of the history.
SCHEMA = "sequences 1"
#: What is predicted of an interval: outcomes, then what there is at its end.
OUTCOMES = ("qps", "p503", *SHARES)
TARGETS = (*OUTCOMES, *COUNTED)
#: What is remembered of the interval before, and of the one before that.
_LAST = ("rate_per_s", *SHARES, *COUNTED)
_BEFORE = ("rate_per_s", "p_upstream_error", "ejected")
#: The columns of a history: the number of the interval, intervals since the rules changed, and since when replicas are
#: ejected; then what is remembered.
REMEMBERED = ("age", "since", "held", *(f"last_{name}" for name in _LAST), *(f"before_{name}" for name in _BEFORE))
#: Intervals are counted up to here.
_MOST = 20


class History:
    """What n sequences have left behind so far.

    Args:
        n: how many sequences.
        names: columns of settings; ``rate_per_s`` and ``calls`` are the last two.
        intervals: of an episode; later ones count as the last.
    """

    def __init__(self, n: int, names: Sequence[str], intervals: int) -> None:
        self._rules, self._intervals = len(names) - 2, intervals
        self._last_rules: FloatArray | None = None
        self._since = np.zeros(n)
        self._held = np.zeros(n)
        self._last = np.zeros((n, len(_LAST)))
        self._before = np.zeros((n, len(_BEFORE)))
        self._age = 0

    def inputs(self, settings: FloatArray) -> FloatArray:
        """Return what the next interval depends on, shape (n, columns): rules, rate, then :data:`REMEMBERED`.

        Args:
            settings: of the next interval, shape (n, columns).
        """
        age = np.full(len(settings), float(min(self._age, self._intervals - 1)))
        since = self._since_change(settings)
        return np.column_stack([settings[:, :-1], age, since, self._held, self._last, self._before])

    def note(self, settings: FloatArray, told: Mapping[str, Any]) -> None:
        """Remember an interval.

        Args:
            settings: as for :meth:`inputs`.
            told: what it brought: shares of the 503s by reason, ``ejected``, ``connected``; each of shape (n,).
        """
        self._since = self._since_change(settings)
        self._last_rules = settings[:, : self._rules].copy()
        known = {**told, "rate_per_s": settings[:, -2]}
        kept = [_LAST.index(name) for name in _BEFORE]
        self._before = self._last[:, kept]
        self._last = np.column_stack([known[name] for name in _LAST])
        ejected = self._last[:, _LAST.index("ejected")]
        self._held = np.where(ejected >= 0.5, np.minimum(self._held + 1, _MOST), 0.0)
        self._age += 1

    def _since_change(self, settings: FloatArray) -> FloatArray:
        """Return for how many intervals the rules will have held before the next one, shape (n,)."""
        if self._last_rules is None:
            return np.zeros(len(settings))
        changed = (settings[:, : self._rules] != self._last_rules).any(axis=1)
        return np.where(changed, 0.0, np.minimum(self._since + 1, _MOST))


def input_names(scenario: Scenario) -> tuple[str, ...]:
    """Return the columns of :meth:`History.inputs`."""
    return (*scenario.setting_names[:-1], *REMEMBERED)


@dataclass(frozen=True)
class SequenceIdentity:
    """Where a simulator of sequences comes from, and how good it is.

    Attributes:
        scenario: name of the scenario.
        traces: sha256 of the set of sequences.
        seed: of the split and of the training.
        inputs: what it predicts from.
        control: how the runs follow one another.
        recipe: the network and training that cross-validation chose.
        metrics: on episodes that it hasn't seen, see :func:`meshgym.simulator.sequential_fit.judge`.
        versions: of the packages that trained it.
        kind: of the predictor.
        schema: version of the file's layout.
    """

    scenario: str
    traces: str
    seed: int
    inputs: tuple[str, ...]
    control: Mapping[str, Any]
    recipe: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    kind: str = "perceptrons"
    schema: str = SCHEMA


class SequenceSimulator:
    """Predicts the next interval from its setting and a history.

    Args:
        predictor, scaling, calibration: as of :class:`meshgym.simulator.artefact.Simulator`.
        identity: where it comes from.
    """

    def __init__(
        self, predictor: Predictor, scaling: Scaling, calibration: Calibration, identity: SequenceIdentity
    ) -> None:
        self.predictor, self.scaling, self.calibration, self.identity = predictor, scaling, calibration, identity
        self._features = Features(identity.inputs)

    def expected(self, inputs: FloatArray) -> dict[str, FloatArray]:
        """Return what is expected of an interval, by name; each of shape (n,).

        Args:
            inputs: of :meth:`History.inputs`, shape (n, columns).
        """
        mean, _ = self.predictor(self.scaling.inputs(self._features.derive(inputs)), 0)
        return _told(self.scaling.to_units(mean))

    def draw(self, inputs: FloatArray, knots: NDArray[np.int64], parts: FloatArray) -> dict[str, FloatArray]:
        """Draw what an interval may bring.

        Args:
            inputs: of :meth:`History.inputs`, shape (n, columns).
            knots, parts: of :meth:`places`, shape (n, targets).
        """
        mean, residual = self.predictor(self.scaling.inputs(self._features.derive(inputs)))
        _, found = knots_of(self.calibration.quantiles(mean, residual))
        left, right = (np.take_along_axis(found, (knots + side)[..., None], axis=-1)[..., 0] for side in (0, 1))
        return _told(self.scaling.to_units(left + parts * (right - left)), whole=True)

    def places(self, generator: np.random.Generator, intervals: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Draw where in their distributions the next intervals of one sequence lie, shapes (intervals, targets)."""
        normal = generator.standard_normal((intervals, len(TARGETS)))
        return places(normal, self.calibration.correlation)

    def check_fits(self, scenario: Scenario) -> None:
        """Check that it was learned for a scenario.

        Raises:
            SimulatorError: it was learned for another one, or for other intervals.
        """
        control = None if scenario.control is None else asdict(scenario.control)
        if (self.identity.scenario, self.identity.inputs) != (scenario.name, input_names(scenario)) or (
            dict(self.identity.control) != control
        ):
            raise SimulatorError(
                f"the simulator was learned from sequences of {self.identity.scenario} with {self.identity.control}, "
                f"not for scenario {scenario.name} with {control}. Fit one: meshgym fit --scenario {scenario.name} "
                "--sequences FILE"
            )

    def save(self, path: str | Path) -> Path:
        """Write one ``.npz`` file without pickle.

        Raises:
            FolderError: the file can't be written.
        """
        arrays = parts_to_arrays(asdict(self.identity), self.predictor, self.scaling, self.calibration)
        return write_arrays(path, sealed(arrays))

    @classmethod
    def load(cls, path: str | Path) -> SequenceSimulator:
        """Read what :meth:`save` wrote.

        Raises:
            SimulatorError: the file is missing, damaged, edited, or of another kind or version.
        """
        with reading(path, "a simulator of sequences", SimulatorError, REMEDY):
            return cls._from_arrays(read_arrays(path), str(path))

    @classmethod
    def _from_arrays(cls, arrays: Arrays, source: str) -> SequenceSimulator:
        identity, parts = unsealed(arrays, source)
        if identity.get("schema") != SCHEMA:
            raise SimulatorError(f"{source} has layout {identity.get('schema')}, needed: {SCHEMA}. {REMEDY}")
        named = SequenceIdentity(**{**identity, "inputs": tuple(identity["inputs"])})
        simulator = cls(*parts_of(parts, named.kind), named)
        simulator.expected(simulator.scaling.low[None])  # shapes that don't fit together show here
        return simulator


def _told(targets: FloatArray, whole: bool = False) -> dict[str, FloatArray]:
    """Return targets, shape (n, targets), as what an interval tells; counts as whole numbers if ``whole``."""
    found = to_outcomes(OUTCOMES, targets[:, : len(OUTCOMES)], {})
    counts = np.maximum(targets[:, len(OUTCOMES) :], 0.0)
    return {**found, **dict(zip(COUNTED, (np.rint(counts) if whole else counts).T, strict=True))}


def sequence_simulator_for(
    scenario: Scenario, simulator: str | Path | SequenceSimulator | None = None
) -> SequenceSimulator:
    """Return the simulator to use with a scenario: as given, from a file, or, for None, the one that is bundled.

    Raises:
        SimulatorError: no usable simulator, or one that was learned for another scenario.
    """
    if isinstance(simulator, SequenceSimulator):
        chosen = simulator
    elif simulator is not None:
        chosen = SequenceSimulator.load(simulator)
    elif scenario.name == CONTROL_SCENARIO:
        chosen = _bundled()
    else:
        raise SimulatorError(
            f"no simulator of sequences is bundled for {scenario.name}. Take sequences and fit one: meshgym sequences "
            f"--scenario {scenario.name}, then meshgym fit --scenario {scenario.name} --sequences FILE"
        )
    chosen.check_fits(scenario)
    return chosen


@cache
def _bundled() -> SequenceSimulator:
    file = resources.files("meshgym") / "data" / "simulators" / f"{CONTROL_SCENARIO}.npz"
    with resources.as_file(file) as path:
        return SequenceSimulator.load(path)


class SimulatedSequences(Sequences):
    """Sequences over a simulator.

    Args:
        simulator: what predicts.
        scenario: what it was learned for.
        copies: how many sequences there are.
        sample: whether intervals are drawn from their predicted distributions, as real ones scatter; else each is what
            is expected, which makes a replica ejected by halves.
    """

    def __init__(self, simulator: SequenceSimulator, scenario: Scenario, copies: int = 1, sample: bool = True) -> None:
        super().__init__(scenario, copies)
        simulator.check_fits(scenario)
        self._simulator, self._sample = simulator, sample
        self._generators: Sequence[np.random.Generator] = ()
        self._history: History | None = None

    def seed(self, generators: Sequence[np.random.Generator]) -> None:
        """See :meth:`Sequences.seed`."""
        self._generators = [generator.spawn(1)[0] for generator in generators]

    def begin(self) -> None:
        """See :meth:`Sequences.begin`."""
        self._history = History(self.copies, self.scenario.setting_names, self.control.intervals)
        self._clock = self.control.intervals  # draws at the next interval

    def measure(self, settings: NDArray[np.float64]) -> Response:
        """See :meth:`Sequences.measure`.

        Raises:
            InvalidValueError: no sequence was begun, or none was seeded.
        """
        if self._history is None or (self._sample and len(self._generators) != self.copies):
            raise InvalidValueError("measure()", "before seed() and begin()", "a sequence that was begun")
        inputs = self._history.inputs(settings)
        if self._sample:
            knots, parts = self._next()
            told = self._simulator.draw(inputs, knots, parts)
        else:
            told = self._simulator.expected(inputs)
        self._history.note(settings, told)
        low, high = self._simulator.scaling.low, self._simulator.scaling.high
        outside = ((inputs < low) | (inputs > high)).any(axis=1)
        nothing = np.full(self.copies, np.nan)
        details = {name: told[name] for name in (*SHARES, *COUNTED)}
        return Response._make([told["qps"], told["p200"], told["p503"], nothing, nothing, outside, details])

    def _next(self) -> tuple[NDArray[np.int64], FloatArray]:
        """Return where in their distributions the responses of the next interval lie."""
        if self._clock == self.control.intervals:
            drawn = [self._simulator.places(one, self.control.intervals) for one in self._generators]
            self._knots, self._parts = (np.stack(both) for both in zip(*drawn, strict=True))
            self._clock = 0
        self._clock += 1
        return self._knots[:, self._clock - 1], self._parts[:, self._clock - 1]

"""Learn a simulator from live sequences, and judge it by how well it predicts several intervals ahead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import TraceError
from meshgym.scenarios import Scenario
from meshgym.simulator.arrays import TraceArrays, folds
from meshgym.simulator.calibration import calibrate
from meshgym.simulator.features import Features
from meshgym.simulator.perceptron import PerceptronEnsemble
from meshgym.simulator.selection import RECIPES, Selection, select
from meshgym.simulator.sequential import (
    TARGETS,
    History,
    SequenceIdentity,
    SequenceSimulator,
    input_names,
)
from meshgym.traces.outcomes import outcomes_in
from meshgym.traces.store import trace_hash
from meshgym.types import Progress

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
#: Episodes that are needed; a tenth of them tests.
LEAST_EPISODES, _TENTH = 20, 10
#: Intervals ahead at which predictions are judged.
HORIZONS = (1, 2, 5, 10)
#: Sequences drawn for one prediction.
_DRAWN = 16
#: What predictions are judged by.
JUDGED = ("p503", "ejected")


@dataclass(frozen=True)
class Episodes:
    """Sequences as arrays: settings, shape (episodes, intervals, columns), and targets, (episodes, intervals, targets).

    Attributes:
        scenario: what they are of.
    """

    scenario: Scenario
    settings: FloatArray
    targets: FloatArray

    @classmethod
    def of(cls, frame: pd.DataFrame, scenario: Scenario) -> Episodes:
        """Make arrays of a set, see :func:`meshgym.traces.sequences.load_sequences`."""
        found = {**outcomes_in(frame), **{name: frame[name].to_numpy(np.float64) for name in TARGETS[-2:]}}
        settings = frame[list(scenario.setting_names)].to_numpy(np.float64)
        targets = np.column_stack([found[name] for name in TARGETS])
        count = frame["episode"].nunique()
        return cls(scenario, settings.reshape(count, -1, settings.shape[1]), targets.reshape(count, -1, len(TARGETS)))

    def __len__(self) -> int:
        return len(self.settings)

    @property
    def intervals(self) -> int:
        """Intervals of an episode."""
        return int(self.settings.shape[1])

    def part(self, episodes: Any) -> Episodes:
        """Return some of the episodes."""
        return replace(self, settings=self.settings[episodes], targets=self.targets[episodes])

    def told(self, interval: int) -> dict[str, FloatArray]:
        """Return what was measured in an interval, by name."""
        return dict(zip(TARGETS, self.targets[:, interval].T, strict=True))

    def histories(self) -> FloatArray:
        """Return the inputs of each interval after what was measured before it, shape (episodes, intervals, inputs)."""
        history = History(len(self), self.scenario.setting_names, self.intervals)
        found = []
        for interval in range(self.intervals):
            found.append(history.inputs(self.settings[:, interval]))
            history.note(self.settings[:, interval], self.told(interval))
        return np.stack(found, axis=1)


def fit_sequences(
    frame: pd.DataFrame, scenario: Scenario, seed: int = 0, progress: Progress | None = None
) -> tuple[SequenceSimulator, pd.DataFrame]:
    """Learn a simulator from nine tenths of the episodes, and judge it on the others.

    Args:
        frame: of :func:`meshgym.traces.sequences.load_sequences`.
        scenario: what it was taken for.
        seed: of split and training.
        progress: called as training goes on.

    Returns:
        The simulator, and the table of :func:`judge`.

    Raises:
        TraceError: fewer than 20 episodes.
    """
    episodes = Episodes.of(frame, scenario)
    if len(episodes) < LEAST_EPISODES:
        raise TraceError(f"{len(episodes)} episodes are too few to learn from; take {LEAST_EPISODES} or more")
    test = folds(np.arange(len(episodes)), _TENTH, seed) == 0
    train = episodes.part(~test)
    names = input_names(scenario)
    selection = _select(train, names, seed, progress)
    calibration = calibrate(*selection.unseen, selection.scaling.standardise(train.targets.reshape(-1, len(TARGETS))))
    identity = SequenceIdentity(
        scenario=scenario.name,
        traces=trace_hash(frame.drop(columns=["episode", "interval"])),
        seed=seed,
        inputs=names,
        control=asdict(scenario.control) if scenario.control else {},
        recipe=selection.recipe,
        versions={package: version(package) for package in ("meshgym", "numpy", "torch")},
    )
    simulator = SequenceSimulator(selection.predictor, selection.scaling, calibration, identity)
    table = judge(simulator, train, episodes.part(test), seed)
    own = table[table["model"] == WITH]
    metrics = {
        f"rms_{outcome}_{ahead}": float(error)
        for outcome, ahead, error in own[["outcome", "ahead", "error"]].to_numpy()
    }
    identity = replace(identity, metrics=metrics | {"episodes_train": float(len(train))})
    return SequenceSimulator(selection.predictor, selection.scaling, calibration, identity), table


def _select(train: Episodes, names: tuple[str, ...], seed: int, progress: Progress | None) -> Selection:
    inputs = train.histories().reshape(-1, len(names))
    groups = np.repeat(np.arange(len(train)), train.intervals)
    arrays = TraceArrays(inputs, train.targets.reshape(-1, len(TARGETS)), groups, names, TARGETS)
    return select(arrays, seed, progress, Features(names))


#: The models that are compared.
WITHOUT, CLOCK, WITH = "memoryless", "memoryless, with a clock", "with a history"
_Predict = Callable[[int, int], dict[str, FloatArray]]


def judge(simulator: SequenceSimulator, train: Episodes, test: Episodes, seed: int) -> pd.DataFrame:
    """Compare predictions of intervals ahead with what was measured, on episodes that nothing was learned from.

    From each interval of each episode, the simulator goes on alone, with the rules and loads that were to come; a
    prediction is the mean of 16 drawn sequences. A memoryless model, of the same kind and learned from the same
    episodes, predicts each interval from its rules and load alone, or also from its number.

    Returns:
        A row per ``model``, ``outcome`` and ``ahead`` (intervals): ``error`` (root mean square), and the 95 % interval
        ``low``..``high`` over episodes; of a history also ``gain``, by how much of the memoryless error its own is
        smaller.
    """
    import pandas as pd

    ahead = _ahead(simulator, test, seed)
    plain = {name: _memoryless(train, test, columns, simulator, seed) for name, columns in _COLUMNS.items()}
    rows = []
    for name in JUDGED:
        truth = test.targets[..., TARGETS.index(name)]
        for horizon in HORIZONS:
            squares = {
                model: np.square(found[name][:, horizon - 1 :] - truth[:, horizon - 1 :])
                for model, found in (*plain.items(), (WITH, ahead[horizon]))
            }
            for model, own in squares.items():
                rows.append({"outcome": name, "ahead": horizon, "model": model, **_rms(own, squares[WITHOUT], seed)})
    return pd.DataFrame(rows)


_COLUMNS = {WITHOUT: 0, CLOCK: 1}


def _rms(squares: FloatArray, reference: FloatArray, seed: int) -> dict[str, float]:
    """Return the root mean square with its interval, and the share of a reference's that is saved."""
    means, others = squares.mean(axis=1), reference.mean(axis=1)
    drawn = np.random.default_rng(seed).integers(len(means), size=(2000, len(means)))
    low, high = np.quantile(np.sqrt(means[drawn].mean(axis=1)), [0.025, 0.975])
    saved = 1 - np.sqrt(means[drawn].mean(axis=1) / others[drawn].mean(axis=1))
    gain = 1 - np.sqrt(means.mean() / others.mean())
    gain_low, gain_high = np.quantile(saved, [0.025, 0.975])
    numbers = [np.sqrt(means.mean()), low, high, gain, gain_low, gain_high]
    return dict(zip(("error", "low", "high", "gain", "gain_low", "gain_high"), map(float, numbers), strict=True))


def _memoryless(
    train: Episodes, test: Episodes, further: int, simulator: SequenceSimulator, seed: int
) -> dict[str, FloatArray]:
    """Return predictions from rules, rate and so many further inputs, by name, shape (episodes, intervals)."""
    count = len(train.scenario.setting_names) - 1 + further
    names = input_names(train.scenario)[:count]
    model = PerceptronEnsemble(RECIPES[simulator.identity.recipe], seed, features=Features(names))
    model.fit(train.histories()[..., :count].reshape(-1, count), train.targets.reshape(-1, len(TARGETS)))
    found = model.predict(test.histories()[..., :count].reshape(-1, count)).reshape(test.targets.shape)
    return {name: found[..., TARGETS.index(name)] for name in JUDGED}


def _ahead(simulator: SequenceSimulator, test: Episodes, seed: int) -> dict[int, dict[str, FloatArray]]:
    """Return what is predicted of each interval from so many intervals before, by horizon and name.

    Each is of shape (episodes, intervals); NaN where the episode is too young.
    """
    found = {horizon: {name: np.full(test.settings.shape[:2], np.nan) for name in JUDGED} for horizon in HORIZONS}
    settings = np.repeat(test.settings, _DRAWN, axis=0)
    generators = np.random.default_rng(seed).spawn(len(settings))
    for start in range(test.intervals):
        history = History(len(settings), test.scenario.setting_names, test.intervals)
        for interval in range(start):
            told = {name: np.repeat(values, _DRAWN) for name, values in test.told(interval).items()}
            history.note(settings[:, interval], told)
        drawn = [simulator.places(generator, max(HORIZONS)) for generator in generators]
        knots, parts = (np.stack(both, axis=1) for both in zip(*drawn, strict=True))
        for horizon in range(1, min(max(HORIZONS), test.intervals - start) + 1):
            interval = start + horizon - 1
            inputs = history.inputs(settings[:, interval])
            told = simulator.draw(inputs, knots[horizon - 1], parts[horizon - 1])
            history.note(settings[:, interval], told)
            if horizon in found:
                for name in JUDGED:
                    found[horizon][name][:, interval] = told[name].reshape(len(test), _DRAWN).mean(axis=1)
    return found


def to_text(table: pd.DataFrame) -> str:
    """Return the table of :func:`judge` as text."""
    lines = [f"{'outcome':<9}{'ahead':>6}  {'model':<26}{'rms error':>24}{'smaller than memoryless by':>32}"]
    for row in table.itertuples():
        error = f"{row.error:.3f} [{row.low:.3f}, {row.high:.3f}]"
        gain = "" if row.model == WITHOUT else f"{row.gain:.0%} [{row.gain_low:.0%}, {row.gain_high:.0%}]"
        lines.append(f"{row.outcome:<9}{row.ahead:>6}  {row.model:<26}{error:>24}{gain:>32}".rstrip())
    return "\n".join(lines)

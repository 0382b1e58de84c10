"""The paper's Table 4: how well each model predicts the held-out runs of each trace set."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from meshgym.errors import UnknownNameError
from meshgym.fields import OUTCOMES
from meshgym.files import write_bytes, write_text
from meshgym.simulator.arrays import TraceArrays, noise_floor
from meshgym.simulator.features import Features
from meshgym.simulator.models import RIVALS
from meshgym.simulator.order import correct_by_order
from meshgym.simulator.outcomes import clip_target, to_range
from meshgym.simulator.perceptron import PerceptronEnsemble
from meshgym.simulator.selection import select
from meshgym.traces.outcomes import FIRST
from meshgym.types import Progress

FloatArray = NDArray[np.float64]
Predict = Callable[[FloatArray], FloatArray]

#: The simulator's own model.
OURS = "MLP ensemble (meshgym)"
#: Not models of the setting, but what to compare them with: our own model if it knew the order of the runs, and the
#: lowest error that a model can have.
ORDERED, FLOOR = "... knowing the runs before", "noise floor"
MODELS: tuple[str, ...] = (OURS, *RIVALS)
#: Mean squared errors in the paper's Table 4.
PAPER_MSE: dict[str, dict[str, float]] = {
    "MLP, paper's preset": {"S1": 0.13, "S2": 0.17, "S3": 0.52, "S4": 0.63, "S5": 0.38},
    "support vectors": {"S1": 1.3, "S2": 0.78, "S3": 1.05, "S4": 1.33, "S5": 1.24},
    "logistic": {"S1": 0.93, "S2": 0.81, "S3": 0.99, "S4": 1.00, "S5": 1.00},
    "ridge": {"S1": 0.85, "S2": 0.84, "S3": 0.98, "S4": 1.01, "S5": 0.96},
}
#: How the test part is drawn: by setting, or by blocks of successive rows. The second shows how much of the score comes
#: from what neighbouring runs of an unshuffled collection share.
SPLITS: dict[str, int | None] = {"settings": None, "blocks": 50}


@dataclass(frozen=True)
class Table4:
    """The scores of all fits.

    Attributes:
        scores: one row per set, split, model and seed, with ``mse`` (mean over standardised qps and p503), ``mse_*``
            (standardised) and ``rmse_*`` of each outcome, and ``seconds`` of training. Latencies count as logarithms.
            The noise floor is a model without seconds. :data:`ORDERED` comes with :data:`OURS`, has its seconds, and
            knows only the first outcomes.
        tests: by set, the test part of the first split and seed: settings, and each outcome as measured and as
            predicted by the simulator's own model.
    """

    scores: pd.DataFrame
    tests: dict[str, pd.DataFrame]


def run(
    traces: Mapping[str, pd.DataFrame],
    *,
    models: Sequence[str] = MODELS,
    seeds: Sequence[int] = (0, 1, 2),
    splits: Sequence[str] = ("settings",),
    jobs: int = 2,
    progress: Progress | None = None,
) -> Table4:
    """Fit every model to every set.

    Args:
        traces: checked trace sets by scenario name.
        models: names in :data:`MODELS`.
        seeds: seeds of split and training.
        splits: names in :data:`SPLITS`.
        jobs: number of processes.
        progress: called after each fit.

    Raises:
        UnknownNameError: no such model or split.
    """
    for what, names, known in (("model", models, MODELS), ("split", splits, SPLITS)):
        for name in names:
            if name not in known:
                raise UnknownNameError(what, name, known)
    tasks = [(set_, way, model, seed) for set_ in traces for way in splits for model in models for seed in seeds]
    fits = joblib.Parallel(n_jobs=jobs, return_as="generator")(
        joblib.delayed(_fit)(TraceArrays.of(traces[set_], SPLITS[way]), model, seed) for set_, way, model, seed in tasks
    )
    rows: list[dict[str, Any]] = []
    tests: dict[str, pd.DataFrame] = {}
    for number, ((set_, way, _, seed), (scores, test)) in enumerate(zip(tasks, fits, strict=True), start=1):
        rows += [{"set": set_, "split": way, "model": model, "seed": seed} | own for model, own in scores.items()]
        if OURS in scores:
            tests.setdefault(set_, test)
        if progress is not None:
            progress(number, len(tasks))
    rows += [
        {"set": set_, "split": way, "model": FLOOR, "seed": seed} | _floor(TraceArrays.of(frame))
        for set_, frame in traces.items()
        for way in splits
        for seed in seeds[:1]
    ]
    return Table4(pd.DataFrame(rows), tests)


def _fit(measured: TraceArrays, model: str, seed: int) -> tuple[dict[str, dict[str, float]], pd.DataFrame]:
    """Return scores by model (two if the model is our own), and the test part with the model's predictions."""
    rows, test = measured.split(seed)
    train = measured.part(rows)
    features = Features(measured.names)
    start = time.perf_counter()
    if model == OURS:
        selection = select(train, seed, features=features)
        predict: Predict = selection.predict
    else:
        predict = _fit_rival(model, train, seed, features)
    seconds = time.perf_counter() - start
    predictions = {model: predict(measured.settings[test])}
    if model == OURS:
        count = len(FIRST)
        honest = np.empty((len(measured.settings), count))  # each row by networks that haven't learned from it
        honest[rows], honest[test] = (
            selection.scaling.to_units(selection.unseen[0])[:, :count],
            predictions[OURS][:, :count],
        )
        predictions[ORDERED] = correct_by_order(measured, honest, rows, seed)[test]
    truth, variance = measured.targets[test], np.nanvar(train.targets, axis=0)
    columns, scores = {}, {}
    for name, values in predictions.items():
        known = measured.outcomes[: values.shape[1]]
        values = np.column_stack([clip_target(one, column) for one, column in zip(known, values.T, strict=True)])
        square = np.nanmean(np.square(values - truth[:, : len(known)]), axis=0)
        scores[name] = _scores(known, square, variance[: len(known)]) | {"seconds": seconds}
        if name == model:
            columns = {f"{one}_predicted": to_range(one, values[:, i]) for i, one in enumerate(known)}
    columns |= {f"{one}_measured": to_range(one, truth[:, i]) for i, one in enumerate(measured.outcomes)}
    return scores, pd.DataFrame(measured.settings[test], columns=list(measured.names)).assign(**columns)


def _fit_rival(model: str, train: TraceArrays, seed: int, features: Features) -> Predict:
    """Fit a rival to the first outcomes together, and to each further one on the runs that have it.

    The networks also take the further ones together, and leave out what a run doesn't have.
    """
    count = train.targets.shape[1]
    networks = isinstance(RIVALS[model](seed, features), PerceptronEnsemble)
    ends = [0, len(FIRST), count] if networks else [0, *range(len(FIRST), count + 1)]
    fitted = []
    for start, end in itertools.pairwise(sorted(set(ends))):
        targets = train.targets[:, start:end]
        known = slice(None) if networks else ~np.isnan(targets).any(axis=1)
        fitted.append(RIVALS[model](seed, features).fit(train.settings[known], targets[known]))
    return lambda settings: np.column_stack([one.predict(settings) for one in fitted])


def _floor(measured: TraceArrays) -> dict[str, float]:
    variance = np.nanvar(measured.targets, axis=0)
    return _scores(measured.outcomes, noise_floor(measured) * variance, variance)


def _scores(outcomes: Sequence[str], mean_square: FloatArray, variance: FloatArray) -> dict[str, float]:
    standard = mean_square / np.where(variance > 0, variance, 1.0)
    scores = {"mse": float(standard[: len(FIRST)].mean())}
    for name, own, square in zip(outcomes, standard, mean_square, strict=True):
        scores |= {f"mse_{name}": float(own), f"rmse_{name}": float(np.sqrt(square))}
    return scores


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Average over the seeds.

    Returns:
        One row per split, set and model: the mean ``mse``, the half width of its 95 % ``interval`` (Student's t), the
        ``paper``'s value, and the means of the other scores.
    """
    groups = scores.groupby(["split", "set", "model"], sort=False)
    table = groups[[name for name in scores if name not in ("split", "set", "model", "seed")]].mean()
    count = groups["mse"].count()
    half = stats.t.ppf(0.975, np.maximum(count - 1, 1)) * groups["mse"].std() / np.sqrt(np.maximum(count, 1))
    paper = [PAPER_MSE.get(model, {}).get(set_, np.nan) for _, set_, model in table.index]
    table.insert(1, "interval", half)
    table.insert(2, "paper", paper)
    return table.reset_index()


def to_markdown(scores: pd.DataFrame) -> str:
    """Return Markdown tables: by split, the mean squared error ± interval, the paper's in brackets; then by outcome."""
    parts = []
    for way, table in summary(scores).groupby("split", sort=False):
        sets = list(table["set"].unique())
        lines = [f"Mean squared error, test part drawn by: {way!s}.", ""]
        lines += ["| model | " + " | ".join(sets) + " |", "|---" * (len(sets) + 1) + "|"]
        for model, rows in table.groupby("model", sort=False):
            cells = {row["set"]: _cell(row) for _, row in rows.iterrows()}
            lines.append(f"| {model!s} | " + " | ".join(cells.get(name, "") for name in sets) + " |")
        parts.append("\n".join(lines))
        parts.append(_by_outcome(table, sets))
    return "\n\n".join(parts) + "\n"


def _by_outcome(table: pd.DataFrame, sets: Sequence[str]) -> str:
    """Return a Markdown table of the standardised error of each outcome: ours, the best rival's and the noise floor."""
    lines = ["Each outcome: meshgym's ensemble / the best rival / noise floor.", ""]
    lines += ["| outcome | " + " | ".join(sets) + " |", "|---" * (len(sets) + 1) + "|"]
    for outcome in (name for name in OUTCOMES if f"mse_{name}" in table):
        by_model = table.pivot(index="model", columns="set", values=f"mse_{outcome}")
        shown = [by_model.reindex([OURS]), by_model.reindex(list(RIVALS)), by_model.reindex([FLOOR])]
        best = pd.DataFrame([part.min() for part in shown])
        cells = [" / ".join("-" if np.isnan(value) else f"{value:.3f}" for value in best[name]) for name in sets]
        lines.append(f"| {outcome} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: pd.Series[Any]) -> str:
    if np.isnan(row["mse"]):
        return "no repeats"
    interval = "" if np.isnan(row["interval"]) else f" ± {row['interval']:.3f}"
    paper = "" if np.isnan(row["paper"]) else f" ({row['paper']:g})"
    return f"{row['mse']:.3f}{interval}{paper}"


def save(table: Table4, folder: str | Path) -> list[Path]:
    """Write ``table4.csv`` (every fit), ``table4.md``, and two figures per set.

    Raises:
        FolderError: the folder can't be written.
        MissingDependencyError: the package ``matplotlib`` isn't installed.
    """
    from meshgym.simulator.plots import predicted_against_measured, residuals_by_setting, to_png

    folder = Path(folder)
    written = [
        write_text(folder / "table4.csv", table.scores.to_csv(index=False)),
        write_text(folder / "table4.md", to_markdown(table.scores)),
    ]
    for name, test in table.tests.items():
        for kind, draw in {"predicted": predicted_against_measured, "residuals": residuals_by_setting}.items():
            written.append(write_bytes(folder / f"table4_{name}_{kind}.png", to_png(draw(test, name))))
    return written

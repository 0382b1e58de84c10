"""Scores as tables, as a page and as a tidy file; and whether a submission is one."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from meshagents.benchmark.budgets import BUDGETS, SEEDS, VERSION
from meshagents.benchmark.tasks import TASKS
from meshagents.report import tidy
from meshagents.statistics import (
    aggregate_interval,
    interquartile_mean,
    markdown,
    mean_interval,
    optimality_gap,
    short,
)
from meshagents.training.trained import package_versions
from meshgym.errors import FileError, InvalidValueError
from meshgym.files import read_bytes, read_json, reading, to_json, write_together
from meshgym.pages.figures import LIGHT, draw
from meshgym.pages.page import Section, to_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("accent", "warm", "deep", "good", "bad")
#: What all submissions of a version have in common.
FROZEN = {
    "version": VERSION,
    "seeds": list(SEEDS),
    "budgets": BUDGETS,
}
#: Runs after which a table tells the regret.
_RUNS = (5, 10, 20, 40)
#: Scores of a profile.
_STEPS = np.linspace(0, 1, 101)


def tables(scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return all tables of texts, each with its title: aggregates, tasks by kind, and the regret of searches."""
    kinds = [TASKS[task].kind for task in scores["task"]]
    found = [("Aggregates over tasks, with 95 % intervals by stratified bootstrap over seeds", aggregates(scores))]
    for kind, own in scores.groupby(kinds, sort=False):
        found.append((f"Mean score of each task with 95 % intervals over seeds: {kind}", by_task(own)))
    if len(regrets := after_runs(scores)):
        title = (
            "What searches lack after so many runs, as a share of the best, with 95 % intervals over tasks and seeds"
        )
        found.append((title, regrets))
    return found


def by_task(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean scores with their 95 % intervals as texts, a row per task; empty where a method doesn't play."""
    table = scores.groupby(["task", "method"], sort=False)["score"].apply(_in_words).unstack("method")
    methods = list(dict.fromkeys(scores["method"]))
    tasks = list(dict.fromkeys(scores["task"]))
    return table.loc[tasks, methods].fillna("").rename_axis("task").reset_index()


def _in_words(scores: Any) -> str:
    found = mean_interval(scores)
    spread = "" if len(scores) == 1 or found.high - found.low < 5e-4 else f" ± {(found.high - found.low) / 2:.3f}"
    return f"{found.estimate:.3f}{spread}"


def aggregates(scores: pd.DataFrame) -> pd.DataFrame:
    """Return interquartile mean and optimality gap of each method over the tasks of each kind, with their intervals."""
    rows = []
    kinds = scores.assign(kind=[TASKS[task].kind for task in scores["task"]])
    for (kind, method), own in kinds.groupby(["kind", "method"], sort=False):
        matrix = own.pivot(index="seed", columns="task", values="score").to_numpy()
        found = [aggregate_interval(matrix, one) for one in (interquartile_mean, optimality_gap)]
        cells = [str(one) if len(matrix) > 1 else short(one.estimate) for one in found]
        rows.append([kind, method, matrix.shape[1], *cells])
    columns = ["kind", "method", "tasks", "interquartile mean", "optimality gap"]
    return pd.DataFrame(rows, columns=columns).astype(str)


def after_runs(scores: pd.DataFrame) -> pd.DataFrame:
    """Return by how much searches fall short of the best after some numbers of runs, a row per method; maybe none."""
    rows = []
    for method, own in scores[scores["curve"].map(len) > 0].groupby("method", sort=False):
        regret = 1 - np.array(own["curve"].tolist())
        wanted = [count for count in _RUNS if count <= regret.shape[1]]
        rows.append({"method": method, **{f"{runs} runs": _in_words(regret[:, runs - 1]) for runs in wanted}})
    return pd.DataFrame(rows)


def _profile(figure: Figure, scores: pd.DataFrame) -> None:
    """Draw the share of runs that score at least so much, per kind and method (Agarwal et al. 2021)."""
    scores = scores.assign(kind=[TASKS[task].kind for task in scores["task"]])
    kinds = list(dict.fromkeys(scores["kind"]))
    rows = figure.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
    for axes, kind in zip(rows, kinds, strict=True):
        methods = scores[scores["kind"] == kind].groupby("method", sort=False)
        for colour, (method, own) in zip(itertools.cycle(_COLOURS), methods, strict=False):
            shares = (own["score"].to_numpy()[None] >= _STEPS[:, None]).mean(axis=1)
            axes.plot(_STEPS, shares, color=LIGHT[colour], label=method)
        axes.set_ylabel(f"{kind}:\nshare of runs")
        axes.legend(loc="lower left")
    rows[-1].set_xlabel("score, at least")


def _draw_after_runs(figure: Figure, scores: pd.DataFrame) -> None:
    """Draw by how much searches fall short after each run, on average over tasks and seeds."""
    axes = figure.subplots()
    methods = scores[scores["curve"].map(len) > 0].groupby("method", sort=False)
    for colour, (method, own) in zip(itertools.cycle(_COLOURS), methods, strict=False):
        regret = 1 - np.array(own["curve"].tolist())
        mean, half = regret.mean(axis=0), 1.96 * regret.std(axis=0) / np.sqrt(len(regret))
        runs = np.arange(1, len(mean) + 1)
        axes.plot(runs, mean, color=LIGHT[colour], label=method)
        axes.fill_between(runs, mean - half, mean + half, color=LIGHT[colour], alpha=0.2, linewidth=0)
    axes.set_xlabel("runs")
    axes.set_ylabel("regret, as a share of the best")
    axes.legend(loc="upper right")


def to_text(scores: pd.DataFrame, fast: bool) -> str:
    """Return the tables as text."""
    parts = [f"{title}:\n\n{markdown(table)}" for title, table in tables(scores)]
    return "\n\n".join([*([_FAST] if fast else []), *parts])


_FAST = "The fast form: one seed and a tenth of the budgets. It shows that all of it runs; its numbers don't compare."


def write(scores: pd.DataFrame, folder: Path, fast: bool) -> list[Path]:
    """Write ``benchmark.html``, ``benchmark.json``, ``benchmark.md`` and ``results`` as CSV and Parquet.

    Args:
        scores: what :func:`meshagents.benchmark.run.run` returned.
        folder: an existing one.
        fast: whether it is the fast form.

    Raises:
        FolderError: a file can't be written.
        MissingDependencyError: Matplotlib or jinja2 isn't installed.
    """
    kinds = len({TASKS[task].kind for task in scores["task"]})
    svg = draw((6, 2.4 * kinds), lambda figure: _profile(figure, scores))
    text = [
        "1 is the best there is, known exactly: the oracle's reward, or the equilibrium of a game. In control over "
        "time it is every call served and no change of rules, which may be out of reach. Where the fixed choice scores "
        "as much as learning, there was nothing to learn.",
        f"Version {VERSION}, seeds {', '.join(map(str, SEEDS))}. Budgets: "
        + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in BUDGETS.items())
        + ".",
    ]
    figures = [("How many runs score at least so much: the higher a line, the better.", svg)]
    if scores["curve"].map(len).any():
        caption = "What searches lack after each run, on average over their tasks, with 95 % intervals."
        figures.append((caption, draw((6, 3.2), lambda figure: _draw_after_runs(figure, scores))))
    section = Section("Scores", [*([_FAST] if fast else []), *text], [*tables(scores), *figures])
    about = {**FROZEN, "fast": fast, "packages": package_versions()}
    named = scores.drop(columns="curve").rename(columns={"score": "value"}).assign(metric="score")
    files: dict[str, bytes] = {
        "benchmark.html": to_html("The benchmark of meshgym", [section]).encode(),
        "benchmark.json": to_json(about),
        "benchmark.md": f"{to_text(scores, fast)}\n".encode(),
        **dict(tidy.as_files(tidy.of_scores(named))),
    }
    return write_together({folder / name: content for name, content in files.items()})


def check_submission(folder: Path) -> list[str]:
    """Check that a folder holds a whole result of this version; return the methods in it.

    Args:
        folder: with ``benchmark.json`` and ``results.csv``.

    Raises:
        FileError: a file is missing or damaged.
        InvalidValueError: it differs from what is frozen, or a score is missing.
    """
    with reading(folder / "benchmark.json", "a result of meshagents benchmark", FileError, "Run meshagents benchmark."):
        about = read_json(folder / "benchmark.json")
        differs = {
            name: about.get(name) for name, value in {**FROZEN, "fast": False}.items() if about.get(name) != value
        }
    if differs:
        wanted = {name: {**FROZEN, "fast": False}[name] for name in differs}
        raise InvalidValueError(
            f"{', '.join(differs)} of {folder}", differs, f"{wanted}, as version {VERSION} has them"
        )
    with reading(folder / "results.csv", "a tidy file", FileError, "Run meshagents benchmark."):
        rows = pd.read_csv(io.BytesIO(read_bytes(folder / "results.csv")))
        rows = rows[rows["metric"] == "score"]
        found = {str(method): own for method, own in rows.groupby("method", sort=False)}
    for method, own in found.items():
        for task in dict.fromkeys(own["task"]):
            if task not in TASKS:
                raise InvalidValueError(f"task of {method}", task, f"one of {', '.join(TASKS)}")
            seeds = sorted(own.loc[own["task"] == task, "seed"].tolist())
            if seeds != list(SEEDS):
                raise InvalidValueError(f"seeds of {method} on {task}", seeds, f"{list(SEEDS)}, each once")
        if not own["value"].between(-np.inf, 1 + 1e-6).all():
            worst = own.loc[~own["value"].between(-np.inf, 1 + 1e-6)].iloc[0]
            raise InvalidValueError(f"score of {method} on {worst['task']}", float(worst["value"]), "a number up to 1")
    return list(found)

"""The worst load under one set of rules, found on the mesh itself: no traces, no simulator, ten to twenty runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from meshagents.recommend.search import Expected, Recommendation, all_loads
from meshgym.errors import FolderError, MissingDependencyError
from meshgym.mesh.base import Mesh
from meshgym.rewards import apply_reward, load_reward
from meshgym.scenarios import Scenario
from meshgym.types import Load, Progress, TrafficRules

#: Holds the runs of direct searches; one that was stopped goes on.
FILENAME = "direct.log"


def search_directly(
    mesh: Mesh,
    scenario: Scenario,
    rules: TrafficRules,
    runs: int,
    folder: Path,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Recommendation:
    """Measure the scenario's loads one after the other, each chosen by what came before (TPE; Bergstra et al., 2011).

    Args:
        mesh: an open one.
        scenario: its actions are the loads to choose from.
        rules: what to put in force.
        runs: how many to make; those that ``folder`` holds of the same search count.
        folder: where runs are kept, each as soon as it's done.
        seed: of the choices.
        progress: called after each run.

    Returns:
        The load with the most 503s per second in a run, without a prediction.

    Raises:
        MissingDependencyError: Optuna isn't installed.
        FolderError: the runs can't be kept.
        MeshError: the mesh failed; the runs before are kept.
    """
    reward = load_reward("worst_case")
    same = [scenario.to_dict(), rules.to_dict(), mesh.about(), seed]
    study = _study(folder / FILENAME, hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest(), seed)
    while (done := sum(trial.state.name == "COMPLETE" for trial in study.trials)) < runs:
        progress(done, runs)
        trial = study.ask()
        numbers = {name: trial.suggest_int(name, 0, len(values) - 1) for name, values in scenario.actions.items()}
        response = mesh.measure(rules, _load(scenario, numbers))
        study.tell(trial, float(apply_reward(reward, response)))
    progress(runs, runs)
    worst = Expected(_load(scenario, study.best_params), None, None)
    return Recommendation(rules, (worst,), len(all_loads(scenario)), None, direct=runs)


def _load(scenario: Scenario, numbers: dict[str, int]) -> Load:
    return Load(**{name: values[numbers[name]] for name, values in scenario.actions.items()})  # type: ignore[arg-type]


def _study(path: Path, name: str, seed: int) -> Any:
    """Open the study of a search in a file; begin it if there is none."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise MissingDependencyError("optuna", "a direct search", "direct") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(
            study_name=name,
            storage=JournalStorage(JournalFileBackend(str(path))),
            sampler=optuna.samplers.TPESampler(seed=seed),
            direction="maximize",
            load_if_exists=True,
        )
    except (OSError, ValueError) as error:
        raise FolderError(f"cannot use {path} ({error}); free space, or choose another folder") from error

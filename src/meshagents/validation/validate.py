"""Decisions on a live mesh, beside what the simulator said of them (paper, Sec. 4.4 and 6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from meshagents.statistics import mean_interval, ratio_interval
from meshagents.training.evaluation import Evaluation
from meshagents.training.tasks import Task
from meshagents.training.trained import Trained
from meshagents.validation.decisions import BASELINE, Decisions, draw_contexts, with_yardsticks
from meshagents.validation.measure import Bar, OpenMesh, embedded, measure, no_bar
from meshgym.errors import InvalidValueError, MeshError
from meshgym.mesh.base import Mesh
from meshgym.rewards import Reward, load_reward
from meshgym.scenarios import load_scenario
from meshgym.simulator import Simulator
from meshgym.types import RESPONSE_NAMES, SETTING_NAMES, Progress

SIDES = ("sim", "live")
_OUTCOMES = [*RESPONSE_NAMES, "reward"]


@dataclass(frozen=True)
class Validation:
    """How much to measure.

    Attributes:
        contexts: drawn from each scenario, at least 2.
        repeats: runs of each setting, at least 1; the noise is known from 2 on.
        seed: of contexts and order.
        lanes: settings that the embedded mesh measures side by side.

    Raises:
        InvalidValueError: too few contexts or repeats.
    """

    contexts: int = 25
    repeats: int = 2
    seed: int = 0
    lanes: int = 1

    def __post_init__(self) -> None:
        for name, least in {"contexts": 2, "repeats": 1}.items():
            if getattr(self, name) < least:
                raise InvalidValueError(name, getattr(self, name), f"at least {least}")


@dataclass(frozen=True)
class Validated:
    """What was measured of one scenario.

    Attributes:
        scenario: its name.
        simulator: what the measurements are compared with.
        runs: every run; columns of a trace set.
        replayed: one row a context and policy, see :func:`compare`.
        left_out: how many contexts are not in it, because a setting failed every time.
    """

    scenario: str
    simulator: Simulator
    runs: pd.DataFrame
    replayed: pd.DataFrame
    left_out: int


def validate_agent(
    trained: Trained,
    evaluations: Sequence[Evaluation],
    folder: Path,
    settings: Validation,
    open_mesh: OpenMesh = embedded,
    bar: Bar = no_bar,
) -> list[Validated]:
    """Measure the decisions of an agent's best epoch beside random ones, the best fixed action and the oracle.

    Args:
        trained: who decides, and what it was trained on.
        evaluations: what :func:`meshagents.training.trained.evaluate_trained` said of it.
        folder: of the measurements, a folder a scenario.
        settings: how much to measure.
        open_mesh: gives a scenario's live mesh.
        bar: shows the progress of a scenario.

    Returns:
        One for each task.

    Raises:
        MeshGymError: as :func:`validate`.
    """
    found = []
    for i, (task, evaluation) in enumerate(zip(trained.tasks, evaluations, strict=True)):
        scenario = task.load_scenario()
        decisions = with_yardsticks(
            trained.agent,
            evaluation.fixed_action,
            draw_contexts(scenario, settings.contexts, settings.seed),
            task.load_simulator(),
            scenario,
            trained.configuration.control,
            i if len(trained.tasks) > 1 else None,
        )
        with open_mesh(scenario) as mesh, bar(f"validate {scenario.name}", "runs") as progress:
            part = folder / scenario.name
            found.append(validate(decisions, task, part, settings, mesh=mesh, progress=progress))
    return found


def validate(
    decisions: Decisions,
    service: Task,
    folder: Path,
    settings: Validation,
    *,
    reward: str | Reward = "worst_case",
    mesh: Mesh | None = None,
    progress: Progress = lambda done, total: None,
) -> Validated:
    """Measure decisions on a live mesh and compare them with the simulator.

    Args:
        decisions: by policy, :data:`BASELINE` among them, under the same contexts.
        service: scenario and simulator.
        folder, mesh, progress: see :func:`meshagents.validation.measure.measure`.
        settings: how often to measure, and in which order.
        reward: see :func:`meshgym.rewards.load_reward`.

    Raises:
        MeshError: fewer than two contexts could be measured.
        MeshGymError: as :func:`meshagents.validation.measure.measure`.
    """
    scenario, simulator = load_scenario(service.scenario), service.load_simulator()
    runs = measure(
        decisions,
        scenario,
        folder,
        repeats=settings.repeats,
        seed=settings.seed,
        lanes=settings.lanes,
        mesh=mesh,
        progress=progress,
    )
    replayed = compare(decisions, simulator, runs, reward)
    contexts, measured = len(decisions[BASELINE]), replayed["context"].nunique()
    if measured < 2:
        raise MeshError(
            f"{measured} of {contexts} contexts could be measured for all policies, at least 2 are needed; "
            f"the reasons are in failed.csv below {folder}, and the same command tries again"
        )
    return Validated(scenario.name, simulator, runs, replayed, contexts - measured)


def compare(
    decisions: Decisions, simulator: Simulator, runs: pd.DataFrame, reward: str | Reward = "worst_case"
) -> pd.DataFrame:
    """What was said and what was measured of each decision.

    Args:
        decisions: by policy.
        simulator: is asked about each setting.
        runs: of the settings; repeats are averaged.
        reward: of a run.

    Returns:
        One row a context and policy: ``context``, ``policy``, the nine settings, ``repeats`` (how many runs were
        averaged), and ``qps``, ``p200``, ``p503`` and ``reward`` with the suffixes ``_sim`` and ``_live``. A
        context with a setting that has no run is left out.
    """
    rewarded, names = load_reward(reward), list(SETTING_NAMES)
    frames = [pd.DataFrame(rows, columns=names).assign(policy=policy) for policy, rows in decisions.items()]
    decided = pd.concat(frames).rename_axis("context").reset_index()
    said = simulator.predict(decided[names])
    answers = [getattr(said, name).astype(np.float64) for name in RESPONSE_NAMES]
    simulated = dict(zip(_OUTCOMES, [*answers, rewarded(*answers)], strict=True))
    decided = decided.assign(**{f"{name}_sim": values for name, values in simulated.items()})
    rewards = rewarded(*(runs[name] for name in RESPONSE_NAMES))
    groups = runs.assign(reward=rewards).groupby(names)[_OUTCOMES]
    live = groups.mean().add_suffix("_live").assign(repeats=groups.size()).reset_index()
    whole = decided.merge(live, on=names, how="left")
    incomplete = whole.loc[whole["repeats"].isna(), "context"]
    return whole[~whole["context"].isin(incomplete)].reset_index(drop=True)


def summary(replayed: pd.DataFrame) -> pd.DataFrame:
    """Mean rewards of each policy and their ratio over the baseline's, simulated and live, with 95 % intervals.

    Args:
        replayed: what :func:`compare` returned.

    Returns:
        One row a policy; columns ``sim``, ``live`` (rewards), ``sim_ratio``, ``live_ratio``: ``Interval``.
    """
    by_policy = {name: rows.sort_values("context") for name, rows in replayed.groupby("policy", sort=False)}
    table = {}
    for name, rows in by_policy.items():
        columns = {side: f"reward_{side}" for side in SIDES}
        means = {side: mean_interval(rows[column]) for side, column in columns.items()}
        ratios = {
            f"{side}_ratio": ratio_interval(rows[column], by_policy[BASELINE][column])
            for side, column in columns.items()
        }
        table[name] = means | ratios
    return pd.DataFrame.from_dict(table, orient="index")

"""Measure decisions on a live mesh and compare them with the simulator (paper, Sec. 4.4 and 6.2)."""

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
from meshgym.simulator import Simulator
from meshgym.types import RESPONSE_NAMES, SETTING_NAMES, Progress

SIDES = ("sim", "live")
_OUTCOMES = [*RESPONSE_NAMES, "reward"]


@dataclass(frozen=True)
class Validation:
    """How much to measure.

    Attributes:
        contexts: contexts drawn from each scenario, at least 2.
        repeats: runs of each setting, at least 1; the noise is known from 2 on.
        seed: seed of contexts and order.
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
        simulator: the simulator that the measurements are compared with.
        runs: every run; columns of a trace set.
        compared: one row per context and policy; see :func:`compare`.
        left_out: number of contexts left out, because a setting failed every time.
    """

    scenario: str
    simulator: Simulator
    runs: pd.DataFrame
    compared: pd.DataFrame
    left_out: int

    @property
    def counts(self) -> dict[str, str | int]:
        """Scenario, and numbers of contexts, contexts left out, different settings and runs."""
        return {
            "scenario": self.scenario,
            "contexts": int(self.compared["context"].nunique()),
            "left_out": self.left_out,
            "settings": len(self.runs.drop_duplicates(list(SETTING_NAMES))),
            "runs": len(self.runs),
        }


def validate_agent(
    trained: Trained,
    evaluations: Sequence[Evaluation],
    folder: Path,
    validation: Validation,
    open_mesh: OpenMesh = embedded,
    bar: Bar = no_bar,
) -> list[Validated]:
    """Measure the decisions of an agent's best epoch, of random, of the best fixed action and of the oracle.

    Args:
        trained: the agent, and what it was trained on.
        evaluations: what :func:`meshagents.training.trained.evaluate_trained` returned.
        folder: where measurements are kept, one folder per scenario.
        validation: how much to measure.
        open_mesh: opens a scenario's live mesh.
        bar: shows the progress of a scenario.

    Returns:
        One per task.

    Raises:
        MeshGymError: as :func:`validate`.
    """
    found = []
    for service, (task, evaluation) in enumerate(zip(trained.tasks, evaluations, strict=True)):
        scenario = task.load_scenario()
        decisions = with_yardsticks(
            trained.agent,
            evaluation.fixed_action,
            draw_contexts(scenario, validation.contexts, validation.seed),
            task.load_simulator(),
            scenario,
            trained.configuration.control,
            service,
            trained.reward,
        )
        with open_mesh(scenario) as mesh, bar(f"validate {scenario.name}", "runs") as progress:
            part = folder / scenario.name
            found.append(
                validate(decisions, task, part, validation, reward=trained.reward, mesh=mesh, progress=progress)
            )
    return found


def validate(
    decisions: Decisions,
    task: Task,
    folder: Path,
    validation: Validation,
    *,
    reward: str | Reward = "worst_case",
    mesh: Mesh | None = None,
    progress: Progress = lambda done, total: None,
) -> Validated:
    """Measure decisions on a live mesh and compare them with the simulator.

    Args:
        decisions: by policy, :data:`BASELINE` among them, under the same contexts.
        task: scenario and simulator.
        folder, mesh, progress: see :func:`meshagents.validation.measure.measure`.
        validation: how often to measure, and in which order.
        reward: see :func:`meshgym.rewards.load_reward`.

    Raises:
        MeshError: fewer than two contexts could be measured.
        MeshGymError: as :func:`meshagents.validation.measure.measure`.
    """
    scenario, simulator = task.load_scenario(), task.load_simulator()
    runs = measure(
        decisions,
        scenario,
        folder,
        repeats=validation.repeats,
        seed=validation.seed,
        lanes=validation.lanes,
        mesh=mesh,
        progress=progress,
    )
    compared = compare(decisions, simulator, runs, reward)
    contexts, measured = len(decisions[BASELINE]), compared["context"].nunique()
    if measured < 2:
        raise MeshError(
            f"{measured} of {contexts} contexts could be measured for all policies, at least 2 are needed. The "
            f"reasons are in failed.csv below {folder}. The same command tries again"
        )
    return Validated(scenario.name, simulator, runs, compared, contexts - measured)


def compare(
    decisions: Decisions, simulator: Simulator, runs: pd.DataFrame, reward: str | Reward = "worst_case"
) -> pd.DataFrame:
    """Put what was predicted of each decision beside what was measured.

    Args:
        decisions: by policy.
        simulator: predicts each setting.
        runs: runs of the settings; repeats are averaged.
        reward: see :func:`meshgym.rewards.load_reward`.

    Returns:
        One row per context and policy: ``context``, ``policy``, the setting's nine fields, ``repeats`` (number of
        runs averaged), and ``qps``, ``p200``, ``p503`` and ``reward`` with the suffixes ``_sim`` and ``_live``. A
        context is left out if one of its settings has no run.
    """
    rewarded, names = load_reward(reward), list(SETTING_NAMES)
    frames = [pd.DataFrame(rows, columns=names).assign(policy=policy) for policy, rows in decisions.items()]
    decided = pd.concat(frames).rename_axis("context").reset_index()
    predicted = simulator.predict(decided[names])
    outcomes = [getattr(predicted, name).astype(np.float64) for name in RESPONSE_NAMES]
    simulated = dict(zip(_OUTCOMES, [*outcomes, rewarded(*outcomes)], strict=True))
    decided = decided.assign(**{f"{name}_sim": values for name, values in simulated.items()})
    rewards = rewarded(*(runs[name] for name in RESPONSE_NAMES))
    groups = runs.assign(reward=rewards).groupby(names)[_OUTCOMES]
    live = groups.mean().add_suffix("_live").assign(repeats=groups.size()).reset_index()
    whole = decided.merge(live, on=names, how="left")
    incomplete = whole.loc[whole["repeats"].isna(), "context"]
    return whole[~whole["context"].isin(incomplete)].reset_index(drop=True)


def summary(compared: pd.DataFrame) -> pd.DataFrame:
    """Return each policy's mean rewards and their ratio over the baseline's, with 95 % intervals.

    Args:
        compared: what :func:`compare` returned.

    Returns:
        One row per policy; columns ``sim``, ``live`` (rewards), ``sim_ratio``, ``live_ratio``: ``Interval``.
    """
    by_policy = {name: rows.sort_values("context") for name, rows in compared.groupby("policy", sort=False)}
    table = {}
    for name, rows in by_policy.items():
        columns = {side: f"reward_{side}" for side in SIDES}
        means = {side: mean_interval(rows[column]) for side, column in columns.items()}
        ratios = {
            f"{side}_ratio": ratio_interval(rows[column], by_policy[BASELINE][column])
            for side, column in columns.items()
        }
        table[name] = means | ratios
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("policy")

"""Decisions on a live mesh, beside what the simulator predicts for them (paper, Sec. 4.4 and 6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from meshagents.policies import FixedAgent, OracleAgent
from meshagents.statistics import mean_interval, ratio_interval
from meshagents.training.evaluation import Evaluation
from meshagents.training.tasks import Task
from meshagents.training.trained import Decider
from meshagents.validation.decisions import AGENT, BASELINE, FIXED, ORACLE, Decisions, decide, draw_contexts
from meshagents.validation.measure import Bar, OpenMesh, Validation, embedded, measure, no_bar
from meshgym.errors import MeshError
from meshgym.rewards import Reward, apply_reward, load_reward
from meshgym.simulator import Simulator
from meshgym.types import RESPONSE_NAMES, Response, further_outcomes

SIDES = ("sim", "live")
_OUTCOMES = [*RESPONSE_NAMES, "reward"]


@dataclass(frozen=True)
class Validated:
    """The measurements of one scenario.

    Attributes:
        scenario: its name.
        simulator: predicts what the measurements are compared with.
        runs: every run; columns of a trace set.
        replayed: one row per context and policy, see :func:`compare`.
        left_out: how many contexts aren't in it, because a setting failed every time.
    """

    scenario: str
    simulator: Simulator
    runs: pd.DataFrame
    replayed: pd.DataFrame
    left_out: int


@dataclass(frozen=True)
class Validator:
    """Measures decisions on live meshes and compares them with simulators.

    Attributes:
        folder: where to keep the measurements, in a folder per scenario. Runs that it holds aren't measured again.
        measuring: how much to measure.
        open_mesh: opens a scenario's live mesh.
        bar: shows the progress of a scenario.
    """

    folder: Path
    measuring: Validation
    open_mesh: OpenMesh = embedded
    bar: Bar = no_bar

    def validate_agent(self, trained: Decider, evaluations: Sequence[Evaluation]) -> list[Validated]:
        """Measure the decisions of an agent's best epoch, beside random ones, the best fixed action and the oracle.

        Args:
            trained: who decides, and what it was trained on.
            evaluations: what :func:`meshagents.training.trained.evaluate_trained` returned for it.

        Returns:
            One for each task.

        Raises:
            MeshGymError: as :meth:`validate`.
        """
        found = []
        for i, (task, evaluation) in enumerate(zip(trained.tasks, evaluations, strict=True)):
            scenario = task.load_scenario()
            control = trained.configuration.control(scenario)
            policies = {
                FIXED: FixedAgent(evaluation.fixed_action),
                AGENT: trained.agent.best(),
                ORACLE: OracleAgent(task.load_simulator(), scenario, control, trained.reward),
            }
            decisions = {BASELINE: draw_contexts(scenario, self.measuring.contexts, self.measuring.seed)}
            for name, policy in policies.items():
                decisions[name] = decide(policy, decisions[BASELINE], scenario, control, i)
            found.append(self.validate(decisions, task, trained.reward))
        return found

    def validate(self, decisions: Decisions, task: Task, reward: str | Reward = "worst_case") -> Validated:
        """Measure decisions and compare them with the simulator.

        Args:
            decisions: by policy, :data:`BASELINE` among them, under the same contexts.
            task: scenario and simulator.
            reward: see :func:`meshgym.rewards.load_reward`.

        Raises:
            MeshError: fewer than two contexts could be measured.
            MeshGymError: as :func:`meshagents.validation.measure.measure`.
        """
        scenario, simulator = task.load_scenario(), task.load_simulator()
        folder = self.folder / scenario.name
        with self.open_mesh(scenario) as mesh, self.bar(f"validate {scenario.name}", "runs") as progress:
            runs = measure(decisions, scenario, folder, self.measuring, mesh, progress)
        replayed = compare(decisions, simulator, runs, reward)
        contexts, measured = len(decisions[BASELINE]), replayed["context"].nunique()
        if measured < 2:
            raise MeshError(
                f"{measured} of {contexts} contexts could be measured for all policies, at least 2 are needed; "
                f"the collections below {folder} hold the reasons; run the same command to try again"
            )
        return Validated(scenario.name, simulator, runs, replayed, contexts - measured)


def compare(
    decisions: Decisions, simulator: Simulator, runs: pd.DataFrame, reward: str | Reward = "worst_case"
) -> pd.DataFrame:
    """Put what was predicted and what was measured side by side.

    Args:
        decisions: by policy.
        simulator: predicts each setting.
        runs: runs of the settings; repeats are averaged.
        reward: of a run.

    Returns:
        One row per context and policy: ``context``, ``policy``, the fields of the setting, ``repeats`` (how many
        runs were averaged), and ``qps``, ``p200``, ``p503`` and ``reward`` with the suffixes ``_sim`` and ``_live``. A
        context with a setting that has no run is left out.
    """
    rewarded, names = load_reward(reward), list(simulator.identity.settings)
    frames = [pd.DataFrame(rows, columns=names).assign(policy=policy) for policy, rows in decisions.items()]
    decided = pd.concat(frames).rename_axis("context").reset_index()
    expected = simulator.predict(decided[names])
    expected = expected._replace(**{name: getattr(expected, name).astype(np.float64) for name in RESPONSE_NAMES})
    rewards = apply_reward(rewarded, expected, decided[names].to_numpy(np.float64), names)
    simulated = dict(zip(_OUTCOMES, [*expected[: len(RESPONSE_NAMES)], rewards], strict=True))
    decided = decided.assign(**{f"{name}_sim": values for name, values in simulated.items()})
    measured = (runs[name].to_numpy() for name in RESPONSE_NAMES)
    told = further_outcomes({str(name): runs[name].to_numpy() for name in runs}, runs["calls"].to_numpy())
    rewards = apply_reward(rewarded, Response(*measured, details=told), runs[names].to_numpy(np.float64), names)
    groups = runs.assign(reward=rewards).groupby(names)[_OUTCOMES]
    live = groups.mean().add_suffix("_live").assign(repeats=groups.size()).reset_index()
    whole = decided.merge(live, on=names, how="left")
    incomplete = whole.loc[whole["repeats"].isna(), "context"]
    return whole[~whole["context"].isin(incomplete)].reset_index(drop=True)


def summary(replayed: pd.DataFrame) -> pd.DataFrame:
    """Return the mean reward of each policy and its ratio over the baseline's, simulated and live.

    Args:
        replayed: what :func:`compare` returned.

    Returns:
        One row per policy; columns ``sim``, ``live`` (rewards), ``sim_ratio``, ``live_ratio``: 95 % ``Interval``.
    """
    by_policy = {name: rows.sort_values("context") for name, rows in replayed.groupby("policy", sort=False)}
    table = {}
    for name, rows in by_policy.items():
        rewards = {side: (rows[f"reward_{side}"], by_policy[BASELINE][f"reward_{side}"]) for side in SIDES}
        means = {side: mean_interval(own) for side, (own, _) in rewards.items()}
        table[name] = means | {f"{side}_ratio": ratio_interval(*pair) for side, pair in rewards.items()}
    return pd.DataFrame.from_dict(table, orient="index")

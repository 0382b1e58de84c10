"""The whole way for one scenario: collect on a real Envoy, fit, train, validate on the Envoy, report."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.report import plots
from meshagents.report.cards import MEASURED, write_run, write_validation
from meshagents.report.page import write_report
from meshagents.training.configurations import load_configuration
from meshagents.training.evaluation import Evaluation
from meshagents.training.loop import History
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import evaluate_trained, save_trained
from meshagents.validation.decisions import AGENT
from meshagents.validation.measure import Bar
from meshagents.validation.validate import Validation, summary, validate_agent
from meshgym.errors import InvalidValueError
from meshgym.rewards import load_reward
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import Simulator
from meshgym.simulator.training import LEAST_ROWS, fit_simulator
from meshgym.traces.collect import collect
from meshgym.traces.store import load_traces
from meshgym.types import LOAD_NAMES, RULE_NAMES


@dataclass(frozen=True)
class Quickstart:
    """What to do.

    Attributes:
        scenario: name or TOML file with a service profile.
        configuration: who decides what, a row of Table 5 (see ``meshagents.training.configurations``).
        rows: runs to collect.
        contexts: sets of rules to validate under; each policy makes one run under each.
        lanes: settings that the mesh measures side by side, in the collection and in the validation: it shifts rates.
        epochs: of training.
        seed: of the plan, the training and the validation.

    Raises:
        InvalidValueError: too few rows for a simulator, or too few contexts for an interval.
    """

    scenario: str = "S1"
    configuration: str = "Thread-Call"
    rows: int = 240
    contexts: int = 25
    lanes: int = 8
    epochs: int = Hyperparameters.epochs
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"rows": LEAST_ROWS, "contexts": 2}.items():
            if getattr(self, name) < least:
                raise InvalidValueError(name, getattr(self, name), f"at least {least}")


@dataclass(frozen=True)
class Findings:
    """What came of it.

    Attributes:
        table: a row a policy: mean rewards and ratios over random, simulated and live (``validation.summary``).
        evaluation: the agent on every rule of the scenario, simulated.
        decision: the strongest measured decision of the agent, in plain words.
        replayed: every decision of the validation.
    """

    table: pd.DataFrame
    evaluation: Evaluation
    decision: str
    replayed: pd.DataFrame


def quickstart(settings: Quickstart, folder: Path, bar: Bar) -> Findings:
    """Do the whole way; what was collected and measured in ``folder`` is used, the rest is done again.

    Args:
        settings: what to do.
        folder: where traces, simulator, agent, tables, figures and configuration are put.
        bar: shows progress.

    Raises:
        MeshGymError: a stage could not be done; what was collected stays in ``folder``.
    """
    scenario, configuration = load_scenario(settings.scenario), load_configuration(settings.configuration)
    with bar(f"collect {scenario.name}, real Envoy", "runs") as progress:
        traces = load_traces(
            collect(
                scenario,
                folder / "traces",
                rows=settings.rows,
                seed=settings.seed,
                lanes=settings.lanes,
                progress=progress,
            )
        )
    with bar("fit simulator", "") as progress:
        simulator = fit_simulator(traces, scenario, seed=settings.seed, progress=progress)
    simulator.save(folder / "simulator.npz")
    service = Task(scenario, simulator)
    with bar("train agent", "epochs") as progress:
        hyperparameters = Hyperparameters(epochs=settings.epochs)
        trained = train_agent(
            configuration,
            [service],
            hyperparameters,
            settings.seed,
            progress=lambda history: progress(len(history), hyperparameters.epochs),
        )
    agent, history = trained.agent, trained.history
    save_trained(folder / "agent.npz", trained)
    (evaluation,) = evaluate_trained(trained)
    write_run(folder / "agent.npz", configuration, [service], agent, history, [evaluation])
    measuring = Validation(settings.contexts, repeats=1, seed=settings.seed, lanes=settings.lanes)
    (validated,) = validate_agent(agent, configuration, [service], [evaluation], folder / MEASURED, measuring, bar=bar)
    write_validation(folder, configuration.name, measuring, [service], [validated])
    replayed = validated.replayed
    chosen = replayed[replayed["policy"] == AGENT]
    strongest = chosen.iloc[int(chosen["reward_live"].argmax())]
    _draw(folder, replayed, history)
    plots.save(_surface(simulator, scenario, strongest), folder / "reward_surface.png")
    write_report(folder)
    return Findings(summary(replayed), evaluation, in_words(strongest), replayed)


def in_words(run: pd.Series[Any]) -> str:
    """A validated decision as a sentence."""
    rules = ", ".join(f"{name} {run[name]:g}" for name in RULE_NAMES)
    return (
        f"Under the rules {rules}: {run['threads']:.0f} threads sending {run['calls']:.0f} calls "
        f"were answered {run['qps_live']:.0f} times a second, {run['p503_live']:.0%} of them with a 503 "
        f"(the simulator expected {run['qps_sim']:.0f} and {run['p503_sim']:.0%})."
    )


def _draw(folder: Path, replayed: pd.DataFrame, history: History) -> None:
    plots.save(plots.learning_curve(history.ratio), folder / "learning_curve.png")
    plots.save(plots.predicted_against_measured(replayed), folder / "predicted_against_measured.png")


def _surface(simulator: Simulator, scenario: Scenario, run: pd.Series[Any]) -> Figure:
    """The reward of every load under the rules of a decision."""
    loads = [list(scenario.actions[name]) for name in LOAD_NAMES]
    said = simulator.predict([[*run[list(RULE_NAMES)], *load] for load in product(*loads)])
    rewards = load_reward("worst_case")(said.qps, said.p200, said.p503).astype(np.float64)
    rewards = rewards.reshape([len(values) for values in loads])
    chosen = loads[0].index(int(run["threads"])), loads[1].index(int(run["calls"]))
    return plots.reward_surface(rewards, loads[0], loads[1], chosen, "Simulated 503s a second; circle: the decision")

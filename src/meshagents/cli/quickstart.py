"""The whole way for one scenario: collect on a real Envoy, fit, train, validate and ramp on that Envoy, report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from meshagents.cli.options import Quickstart
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.report import plots
from meshagents.report.page import write_report
from meshagents.report.provenance import MEASURED, describe
from meshagents.report.write import write_validation
from meshagents.training.configurations import load_configuration
from meshagents.training.evaluation import Evaluation
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import evaluate_trained, save_trained
from meshagents.validation.decisions import AGENT
from meshagents.validation.gap import tables
from meshagents.validation.measure import Bar, Validation
from meshagents.validation.validate import Validator
from meshgym.adaptive.plan import AdaptivePlan
from meshgym.files import write_together
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.rewards import apply_reward, load_reward
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import Simulator
from meshgym.simulator.plots import to_png
from meshgym.simulator.training import fit_simulator
from meshgym.slo.objective import least_calls, read_slo
from meshgym.slo.output import edge
from meshgym.slo.output import write as write_ramp
from meshgym.slo.ramp import open_loop, ramp
from meshgym.traces.collect import collect
from meshgym.traces.store import load_traces
from meshgym.types import TrafficRules

#: The ramp at the end: seconds of a run, calls per second to look between, and the most runs.
_RAMP_S, _RATES, _RAMP_RUNS = 0.4, (25.0, 1600.0), 10


@dataclass(frozen=True)
class Findings:
    """What the quickstart found.

    Attributes:
        ratios: mean rewards and ratios over random by policy, see :func:`meshagents.validation.gap.tables`.
        evaluation: the agent on every rule of the scenario, simulated.
        decision: the agent's strongest measured decision, in plain words.
        edge: up to which load the rules of that decision keep the objectives, in plain words.
    """

    ratios: pd.DataFrame
    evaluation: Evaluation
    decision: str
    edge: str


def quickstart(options: Quickstart, folder: Path, bar: Bar) -> Findings:
    """Go the whole way. Use what was collected and measured in ``folder``; do the rest again.

    Args:
        options: what to do.
        folder: where to write traces, simulator, agent, tables, figures and report.
        bar: shows progress.

    Raises:
        MeshGymError: a stage failed; what was collected stays in ``folder``.
    """
    scenario, configuration = load_scenario(options.scenario), load_configuration(options.configuration)
    with bar(f"collect {scenario.name}, real Envoy", "runs") as progress:
        traces = load_traces(
            collect(
                scenario,
                folder / "traces",
                planner=AdaptivePlan(scenario, runs=options.runs, seed=options.seed),
                seed=options.seed,
                lanes=options.lanes,
                progress=progress,
            )
        )
    with bar("fit simulator", "") as progress:
        simulator = fit_simulator(traces, scenario, seed=options.seed, progress=progress)
    simulator.save(folder / "simulator.npz")
    with bar("train agent", "epochs") as progress:
        hyperparameters = Hyperparameters(epochs=options.epochs)
        trained = train_agent(
            configuration,
            [Task(scenario, simulator)],
            hyperparameters,
            options.seed,
            progress=lambda history: progress(len(history), hyperparameters.epochs),
        )
    save_trained(folder / "agent.npz", trained)
    evaluations = evaluate_trained(trained)
    measuring = Validation(options.contexts, repeats=1, seed=options.seed, lanes=options.lanes)
    found = Validator(folder / MEASURED, measuring, bar=bar).validate_agent(trained, evaluations)
    shown = tables(found, measuring.seed)
    write_validation(folder, describe(trained), measuring, found, shown)
    decisions = shown["validation"]
    chosen = decisions[decisions["policy"] == AGENT]
    strongest = chosen.iloc[int(chosen["reward_live"].argmax())]
    figures = {
        "learning_curve": plots.learning_curve(trained.history.ratio),
        "predicted_against_measured": plots.predicted_against_measured(decisions),
        "reward_surface": _surface(simulator, scenario, strongest),
    }
    write_together({folder / f"{name}.png": to_png(figure) for name, figure in figures.items()})
    write_report(folder)
    rules = scenario.rules_at(strongest[list(scenario.rule_names)])
    broken = _ramp(scenario, rules, options.slo, folder, bar)
    return Findings(shown["ratios"], evaluations[0], in_words(strongest, scenario), broken)


def _ramp(scenario: Scenario, rules: TrafficRules, slo: tuple[str, ...], folder: Path, bar: Bar) -> str:
    """Raise the load under ``rules`` until objectives break; return where that is, in plain words."""
    objectives = read_slo(slo)
    with EmbeddedMesh(scenario) as mesh, bar("ramp", "runs") as progress:
        load_at = partial(open_loop, _RAMP_S, least_calls(objectives))
        measure = partial(mesh.measure, rules)
        found = ramp(measure, objectives, load_at, *_RATES, runs=_RAMP_RUNS, within=0.15, progress=progress)
        about = {"service": scenario.name, "rules": str(rules), **mesh.versions()}
    write_ramp(found, "calls/s", folder, about)
    return f"Under the same rules, {edge(found, 'calls/s')}"


def in_words(run: pd.Series[Any], scenario: Scenario) -> str:
    """Return a validated decision as a sentence."""
    rules = ", ".join(f"{name} {run[name]:g}" for name in scenario.rule_names)
    calls = f"{run['calls']:.0f} calls"
    sent = (
        f"{run['threads']:.0f} threads sending {calls}" if "threads" in run else f"{calls} at {run['rate_per_s']:g}/s"
    )
    return (
        f"Under the rules {rules}: {sent} "
        f"got {run['qps_live']:.0f} responses per second, {run['p503_live']:.0%} of them a 503 "
        f"(the simulator expected {run['qps_sim']:.0f} and {run['p503_sim']:.0%})."
    )


def _surface(simulator: Simulator, scenario: Scenario, run: pd.Series[Any]) -> Figure:
    """Draw the reward of every load under the rules of a decision."""
    loads = scenario.actions
    response = simulator.predict([[*run[list(scenario.rule_names)], *load] for load in product(*loads.values())])
    rewards = apply_reward(load_reward("worst_case"), response).astype(np.float64)
    shape, chosen = zip(*((len(values), values.index(int(run[name]))) for name, values in loads.items()), strict=True)
    title = "Simulated 503s per second; circle: the decision"
    return plots.reward_surface(rewards.reshape(shape), loads, chosen, title)

"""The whole way for one scenario: collect on a real Envoy, fit, train, validate on the Envoy, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meshagents import plots
from meshagents.agent import Agent
from meshagents.baselines import FixedAgent, OracleAgent, RandomAgent
from meshagents.config import Config
from meshagents.configurations import load_configuration
from meshagents.evaluation import Evaluation, RewardGrid, evaluate
from meshagents.runs import Service, train_agent
from meshagents.storage import save_agent
from meshagents.training import History
from meshagents.validation import replay, summary
from meshgym import EmbeddedMesh
from meshgym.errors import InvalidValueError
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import response_table
from meshgym.simulator.training import LEAST_ROWS, fit_simulator
from meshgym.traces.collect import collect
from meshgym.traces.store import load_traces
from meshgym.types import RULE_NAMES

#: ``bar(title, unit)``: a context manager that gives ``progress(done, total)``.
Bar = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True)
class Quickstart:
    """What to do.

    Attributes:
        scenario: name or TOML file with a service profile.
        configuration: who decides what, a row of Table 5 (see ``meshagents.configurations``).
        rows: runs to collect.
        contexts: sets of rules to validate under; each policy makes one run under each.
        lanes: meshes that collect side by side.
        epochs: of training.
        seed: of the plan, the training and the validation.

    Raises:
        InvalidValueError: too few rows for a simulator, or too few contexts for an interval.
    """

    scenario: str = "S1"
    configuration: str = "Thread-Call"
    rows: int = 240
    contexts: int = 25
    lanes: int = 2
    epochs: int = Config.epochs
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
        replayed: every run of the validation.
    """

    table: pd.DataFrame
    evaluation: Evaluation
    decision: str
    replayed: pd.DataFrame


def quickstart(settings: Quickstart, folder: Path, bar: Bar) -> Findings:
    """Do the whole way; traces already in ``folder`` are used, the rest is done again.

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
    with bar("train agent", "epochs") as progress:
        config = Config(epochs=settings.epochs)
        agent, history = train_agent(
            configuration,
            [Service(scenario, simulator)],
            config,
            settings.seed,
            progress=lambda history: progress(len(history), config.epochs),
        )
    save_agent(folder / "agent.npz", agent, history)
    grid = RewardGrid.of_table(response_table(simulator, scenario))
    evaluation = evaluate(agent, grid, configuration.control)
    policies: Mapping[str, Agent] = {
        "random": RandomAgent(agent.task, settings.seed),
        "best fixed action": FixedAgent(evaluation.fixed_action),
        "agent": agent,
        "oracle": OracleAgent(simulator, scenario, configuration.control),
    }
    with bar("validate, real Envoy", "runs") as progress, EmbeddedMesh(scenario) as mesh:
        replayed = replay(
            policies,
            scenario,
            simulator,
            mesh,
            control=configuration.control,
            contexts=settings.contexts,
            seed=settings.seed,
            progress=progress,
        )
    decisions = replayed[replayed["policy"] == "agent"]
    strongest = decisions.iloc[int(decisions["reward_live"].argmax())]
    findings = Findings(summary(replayed).loc[list(policies)], evaluation, in_words(strongest), replayed)
    _write(folder, settings, findings, history)
    plots.save(_surface(grid, strongest, scenario), folder / "reward_surface.png")
    return findings


def in_words(run: pd.Series[Any]) -> str:
    """A validated decision as a sentence."""
    rules = ", ".join(f"{name} {run[name]:g}" for name in RULE_NAMES)
    return (
        f"Under the rules {rules}: {run['threads']:.0f} threads sending {run['calls']:.0f} calls "
        f"were answered {run['qps_live']:.0f} times a second, {run['p503_live']:.0%} of them with a 503 "
        f"(the simulator expected {run['qps_sim']:.0f} and {run['p503_sim']:.0%})."
    )


def _surface(grid: RewardGrid, run: pd.Series[Any], scenario: Scenario) -> Any:
    row = int(np.flatnonzero((grid.rules == run[list(RULE_NAMES)].to_numpy(float)).all(axis=1))[0])
    threads, calls = (list(scenario.actions[name]) for name in ("threads", "calls"))
    chosen = threads.index(int(run["threads"])), calls.index(int(run["calls"]))
    return plots.reward_surface(
        grid.rewards[row].astype(np.float64), threads, calls, chosen, "Simulated 503s a second; circle: the decision"
    )


def _write(folder: Path, settings: Quickstart, findings: Findings, history: History) -> None:
    findings.table.map(str).to_csv(folder / "table.csv", index_label="policy")
    findings.replayed.to_csv(folder / "validation.csv", index=False)
    curve = {"reward": history.reward, "random": history.random, "ratio": history.ratio}
    pd.DataFrame(curve).to_csv(folder / "learning.csv", index_label="epoch")
    about = {**asdict(settings), "version": version("meshgym"), "evaluation": asdict(findings.evaluation)}
    (folder / "config.json").write_text(json.dumps(about, indent=2) + "\n")
    plots.save(plots.learning_curve(history), folder / "learning_curve.png")
    plots.save(plots.predicted_against_measured(findings.replayed), folder / "predicted_against_measured.png")

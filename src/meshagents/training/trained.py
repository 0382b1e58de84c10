"""A trained agent and its file, which holds all it was trained with: nothing has to be named a second time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from meshagents.agent import Agent
from meshagents.errors import AgentError
from meshagents.learners import checkpoint
from meshagents.learners.dqn import DQN
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.training.configurations import Configuration, load_configuration
from meshagents.training.evaluation import Evaluation, evaluate
from meshagents.training.loop import History
from meshagents.training.tasks import Task
from meshgym.errors import InvalidValueError
from meshgym.files import Arrays, check_finite, digest, parse_json, write_arrays
from meshgym.rewards import REWARDS, Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator

#: Version of the file's layout.
LAYOUT = 2
_PACKAGES = ("meshgym", "gymnasium", "numpy", "torch")


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that a training's result may depend on."""
    return {name: version(name) for name in _PACKAGES}


@dataclass(frozen=True)
class Trained:
    """An agent, and all it was trained with.

    Attributes:
        agent: as it was after the last epoch; ``agent.best()`` is the one of the best epoch.
        configuration: who decides what.
        tasks: one, or several whose agents collaborate.
        reward, contexts: of the environments; see ``meshgym.envs``.
        history: rewards and losses by epoch.
        versions: of the packages that trained it.

    Raises:
        AgentError: an agent of another configuration, or for another number of tasks.
    """

    agent: DQN
    configuration: Configuration
    tasks: tuple[Task, ...]
    reward: str | Reward
    contexts: str
    history: History
    versions: Mapping[str, str] = field(default_factory=package_versions)

    def __post_init__(self) -> None:
        agent, configuration, count = self.agent, self.configuration, len(self.tasks)
        given = {name: getattr(agent, name, None) for name in configuration.arguments}
        found = (type(agent), agent.spaces.services or 1, given)
        if found != (configuration.kind(count), count, configuration.arguments):
            names = ", ".join(task.name for task in self.tasks)
            raise AgentError(f"this {type(agent).__name__} was not trained as {configuration.name} on {names}")

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The agent's."""
        return self.agent.hyperparameters

    @property
    def seed(self) -> int:
        """The agent's: seed of everything."""
        return self.agent.seed

    @property
    def sha256(self) -> str:
        """Hash of everything its file holds."""
        return str(self.to_arrays()["sha256"])

    def identity(self) -> dict[str, Any]:
        """Return all that the training's result depends on, as plain values.

        Raises:
            InvalidValueError: the reward is a function, which has no name that a file could hold.
        """
        if not isinstance(self.reward, str):
            remedy = "A file can't hold a function; train without a file."
            raise InvalidValueError("reward of an agent with a file", self.reward, ", ".join(REWARDS), remedy)
        return {
            "configuration": self.configuration.name,
            "tasks": [task.identity() for task in self.tasks],
            "hyperparameters": self.hyperparameters.to_dict(),
            "seed": self.seed,
            "reward": self.reward,
            "contexts": self.contexts,
        }

    def to_arrays(self) -> Arrays:
        """Return all of it as arrays without objects, and a checksum over them."""
        about = {"layout": LAYOUT, **self.identity(), "versions": dict(self.versions)}
        arrays: Arrays = {"trained": np.array(json.dumps(about))}
        for i, task in enumerate(self.tasks):
            arrays |= {f"simulator{i}.{name}": array for name, array in task.load_simulator().to_arrays().items()}
        arrays |= {f"history.{name}": np.array(column) for name, column in vars(self.history).items()}
        arrays |= {f"agent.{name}": array for name, array in self.agent.to_arrays().items()}
        return arrays | {"sha256": np.array(digest(arrays))}


def save_trained(path: str | Path, trained: Trained) -> Path:
    """Write one ``.npz`` file with everything needed to continue: agent, scenarios, simulators, history.

    Raises:
        InvalidValueError: the reward is a function.
        FolderError: the file can't be written.
    """
    return write_arrays(path, trained.to_arrays())


def load_trained(path: str | Path) -> Trained:
    """Read what :func:`save_trained` wrote.

    Raises:
        AgentError: the file is missing, damaged, edited, or of another kind or version.
    """
    with checkpoint.reading(path) as arrays:
        _check(path, arrays)
        about = parse_json(str(arrays["trained"]))
        configuration = load_configuration(about["configuration"])
        tasks = tuple(
            Task(
                Scenario.from_dict(task["scenario"]),
                Simulator.from_arrays(checkpoint.part(arrays, f"simulator{i}."), f"simulator {i} of {path}"),
            )
            for i, task in enumerate(about["tasks"])
        )
        learned = checkpoint.part(arrays, "agent.")
        check_finite(learned)
        agent = configuration.kind(len(tasks)).from_arrays(learned)
        columns = checkpoint.part(arrays, "history.")
        history = History(list(columns["reward"]), list(columns["random"]), columns["loss"].tolist())
        return Trained(agent, configuration, tasks, about["reward"], about["contexts"], history, about["versions"])


def _check(path: str | Path, arrays: Arrays) -> None:
    """Check that a file has our layout and checksum."""
    remedy = f"Train it again with: meshagents train SCENARIO --configuration NAME --out {path}"
    if "learner" in arrays:
        raise AgentError(f"{path} holds an agent without scenario and simulator. {remedy}")
    layout = parse_json(str(arrays["trained"]))["layout"] if "trained" in arrays else 1
    if layout != LAYOUT and ("trained" in arrays or "about" in arrays):
        raise AgentError(f"{path} has layout {layout}, this meshagents reads layout {LAYOUT}. {remedy}")
    if str(arrays["sha256"]) != digest({name: array for name, array in arrays.items() if name != "sha256"}):
        raise AgentError(f"{path} was edited or damaged: its checksum doesn't fit. {remedy}")


class Who(Protocol):
    """Who decides what."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def control(self, scenario: Scenario) -> str:
        """Return what environments of a scenario call what it decides."""
        ...


class Decider(Protocol):
    """An agent that can be judged: one that was trained here, or one from outside."""

    @property
    def agent(self) -> Agent: ...
    @property
    def configuration(self) -> Who: ...
    @property
    def tasks(self) -> tuple[Task, ...]: ...
    @property
    def reward(self) -> str | Reward: ...
    @property
    def sha256(self) -> str: ...


def evaluate_trained(trained: Decider) -> list[Evaluation]:
    """Evaluate the policy on the whole grid of each task; compare it with random, best fixed action and oracle."""
    control = trained.configuration.control
    return [
        evaluate(trained.agent, task.grid(trained.reward), control(task.load_scenario()), service)
        for service, task in enumerate(trained.tasks)
    ]

"""Few runs: decide under all rules of a service that only few runs, which scatter, were spent on.

Model-free and model-based methods have the same budget in runs, so it shows what a simulator is worth. In a transfer
the simulator of another service is known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from meshagents.benchmark.budgets import FEW_RUNS, TRANSFER_RUNS
from meshagents.benchmark.environments import EnvTask, chance, share
from meshagents.benchmark.kinds import Method, trained_dqn
from meshagents.learners.hyperparameters import Hyperparameters
from meshgym.adaptive.search import Search
from meshgym.rewards import worst_case
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import SimulatedMesh, Simulator, load_simulator
from meshgym.traces.plan import make_plan
from meshgym.types import Response

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
#: Contexts that are decided on; they are the same for all methods and seeds.
_CONTEXTS = 200
#: Copies of a learner that has few interactions.
_COPIES = 10


@dataclass(frozen=True)
class FewRunsTask:
    """Decide on the load under any rules, after few runs; the score is the share of the oracle's reward.

    Attributes:
        name: of the task.
        scenario: of the service.
        source: another service whose simulator may be used; empty for none.
    """

    name: str
    scenario: str
    source: str = ""

    @property
    def kind(self) -> str:
        """Which methods play it."""
        return "transfer" if self.source else "few runs"

    @property
    def budget(self) -> int:
        """Runs that may be made."""
        return TRANSFER_RUNS if self.source else FEW_RUNS

    def runs(self, seed: int, part: int) -> pd.DataFrame:
        """Return the runs of a plan that covers the ranges, as a trace set."""
        import pandas as pd

        scenario = load_scenario(self.scenario)
        plan = make_plan(scenario, max(self.budget // part, 20), seed)
        response = self.measure(plan.settings, np.random.default_rng([seed, 3]))
        frame = pd.DataFrame(plan.settings, columns=list(plan.names))
        return frame.assign(qps=response.qps, p200=response.p200, p503=response.p503, repeat=plan.repeat)

    def measure(self, settings: FloatArray, generator: np.random.Generator) -> Response:
        """Make runs of settings, shape (n, columns): they scatter."""
        mesh = SimulatedMesh(load_simulator(self.scenario), sample=True, seed=int(generator.integers(2**31)))
        return mesh.measure_many(settings, load_scenario(self.scenario).setting_names)

    def score_of(self, simulator: Simulator) -> float:
        """Return the score of the loads that are best by a simulator."""
        believed = self._env(simulator).reward_table(None, _CONTEXTS)[1]
        return share(self.rewards()[1], believed.argmax(axis=1))

    def rewards(self) -> tuple[Any, FloatArray]:
        """Return observations and the expected reward of each load, shape (contexts, loads)."""
        seen, rewards = self._env(None).reward_table(None, _CONTEXTS)
        return seen, rewards

    def _env(self, simulator: Simulator | None) -> Any:
        return gym.make(
            "meshgym:MeshResilience-v0", scenario=self.scenario, control="both", flat=True, simulator=simulator
        ).unwrapped


def random_loads(task: FewRunsTask, seed: int, part: int) -> float:
    """Score loads drawn at random, on average over all draws."""
    return chance(task.rewards()[1])


def fixed_load(task: FewRunsTask, seed: int, part: int) -> float:
    """Score the load that was worst in the runs, whatever the rules: that of its action nearest to it."""
    scenario, runs = load_scenario(task.scenario), task.runs(seed, part)
    worst = runs.iloc[int((runs["qps"] * runs["p503"]).argmax())]
    _, rewards = task.rewards()
    action = _numbers(scenario, worst[list(scenario.load_names)].to_numpy(np.float64)[None])[0]
    return share(rewards, np.full(len(rewards), action))


def dqn(task: FewRunsTask, seed: int, part: int) -> float:
    """Score the project's DQN, whose every interaction is a run."""
    env = EnvTask(task.name, task.scenario, {"control": "both", "sample": True})
    runs = max(task.budget // part // _COPIES, 1) * _COPIES
    hyperparameters = replace(
        Hyperparameters(), epochs=1, interactions=runs, num_envs=_COPIES, batch_size=_COPIES, adam_beta1=0.9
    )
    seen, rewards = task.rewards()
    return share(rewards, trained_dqn(env.make_envs, hyperparameters, seed).act(seen))


def simulator(task: FewRunsTask, seed: int, part: int) -> float:
    """Score the loads that are best by a simulator that the runs alone were learned by."""
    return task.score_of(_fitted(task, seed, part, None))


def adaptive(task: FewRunsTask, seed: int, part: int) -> float:
    """Score what an adaptive plan decides; see :mod:`meshgym.adaptive`."""
    scenario, generator = load_scenario(task.scenario), np.random.default_rng([seed, 4])
    search = Search(scenario, "worst-load", max(task.budget // part, 40), seed)
    while len((batch := search.ask()).settings):
        search.tell(batch.settings, task.measure(batch.settings, generator))
    seen, rewards = task.rewards()
    return share(rewards, _numbers(scenario, search.decide(np.asarray(seen, np.float64))))


def source(task: FewRunsTask, seed: int, part: int) -> float:
    """Score the loads that are best by the other service's simulator, without any run."""
    scenario, known = load_scenario(task.scenario), load_simulator(task.source)
    seen, rewards = task.rewards()
    loads = np.stack(np.meshgrid(*scenario.actions.values(), indexing="ij"), axis=-1).reshape(-1, 2)
    rows = np.column_stack([np.repeat(seen, len(loads), axis=0), np.tile(loads, (len(seen), 1))])
    response = known.predict(rows.astype(np.float64))
    believed = worst_case(response.qps, response.p200, response.p503).reshape(rewards.shape)
    return share(rewards, believed.argmax(axis=1))


def adapted(task: FewRunsTask, seed: int, part: int) -> float:
    """Score a simulator that the runs were learned by with the other service's predictions as a prior."""
    return task.score_of(_fitted(task, seed, part, load_simulator(task.source)))


def _fitted(task: FewRunsTask, seed: int, part: int, prior: Simulator | None) -> Simulator:
    from meshgym.simulator.training import fit_simulator

    return fit_simulator(task.runs(seed, part), load_scenario(task.scenario), seed=seed, prior=prior)


def _numbers(scenario: Scenario, loads: FloatArray) -> NDArray[np.int64]:
    """Return the flat actions that are nearest to loads, shape (n, 2)."""
    values = [np.array(own) for own in scenario.actions.values()]
    index = [np.abs(own - column[:, None]).argmin(axis=1) for own, column in zip(values, loads.T, strict=True)]
    return np.asarray(np.ravel_multi_index(tuple(index), tuple(map(len, values))))


_SIMPLE: dict[str, Method] = {"random": random_loads, "fixed": fixed_load}
METHODS: dict[str, Method] = {**_SIMPLE, "DQN": dqn, "simulator": simulator, "adaptive": adaptive}
TRANSFER_METHODS: dict[str, Method] = {
    **_SIMPLE,
    "source alone": source,
    "simulator": simulator,
    "simulator with prior": adapted,
}

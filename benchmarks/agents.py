"""How soon agents are good: our DQN and Stable-Baselines3's, on one environment, in one process.

    pip install stable-baselines3
    python benchmarks/agents.py S3 --control calls --limit 600

Both have two hidden layers of 512, gamma 0, inputs scaled to -1..1, and rewards scaled to mean 0 and deviation 1. The
clock runs while they train, not while they are evaluated. If no simulator is bundled, an untrained one is used. The
share of the best fixed action is shown: if it is near 1, reaching the goal of 99 % says little.
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3
import torch
from gymnasium.wrappers import TransformObservation, TransformReward
from stable_baselines3.common.callbacks import BaseCallback

from meshagents import Hyperparameters, Spaces, evaluate, train
from meshagents.agent import Agent
from meshagents.training.configurations import CONFIGURATIONS
from meshagents.training.tasks import Task
from meshagents.training.train import make_environment
from meshgym.errors import SimulatorError
from meshgym.scenarios import load_scenario
from meshgym.simulator import load_simulator
from meshgym.testing import untrained_simulator

GOAL = 0.99
#: Interactions between two evaluations, and of a training in the paper (500 epochs of 1000).
EVERY, HORIZON = 2_000, 500_000


class Stop(Exception):  # noqa: N818 (not an error)
    """The goal or the limit is reached."""


class Watch:
    """Times training, evaluates the policy from time to time, and stops at the goal or the limit."""

    def __init__(self, name: str, grid: Any, control: str, limit: float) -> None:
        self.name, self.grid, self.control, self.limit = name, grid, control, limit
        self.seconds, self.resumed = 0.0, time.perf_counter()

    def look(self, agent: Agent, interactions: int) -> None:
        """Evaluate while the clock is stopped."""
        self.seconds += time.perf_counter() - self.resumed
        share = evaluate(agent, self.grid, self.control).share
        rate = interactions / self.seconds
        self.line = f"{self.name:<34} {share:7.2%} {interactions:>9,} {self.seconds:8.1f} s {rate:7,.0f}/s"
        if share >= GOAL or self.seconds > self.limit:
            raise Stop
        self.resumed = time.perf_counter()


class Theirs(Agent):
    """A Stable-Baselines3 model as one of our agents."""

    def __init__(self, model: stable_baselines3.DQN, middle: Any, half: Any) -> None:
        self.model, self.middle, self.half = model, middle, half

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> Any:
        scaled = ((observation - self.middle) / self.half).astype(np.float32)
        return self.model.predict(scaled, deterministic=True)[0]


def ours(watch: Watch, task: Task, hyperparameters: Hyperparameters, seed: int) -> None:
    """Train our DQN on batched environments."""
    configuration = next(one for one in CONFIGURATIONS if one.control == watch.control)
    envs = make_environment(configuration, [task], hyperparameters.num_envs)
    agent = configuration.make_agent(Spaces.of_envs(envs), hyperparameters, seed)
    per_look = EVERY // hyperparameters.interactions
    train(
        agent,
        envs,
        progress=lambda history: (
            watch.look(agent, len(history) * hyperparameters.interactions) if len(history) % per_look == 0 else None
        ),
    )


def theirs(watch: Watch, task: Task, rewards: tuple[float, float], seed: int, options: dict[str, Any]) -> None:
    """Train Stable-Baselines3's DQN on a single environment."""
    env = gym.make("MeshResilience-v0", scenario=task.scenario, simulator=task.load_simulator(), control=watch.control)
    space = env.observation_space
    half = np.where(space.high > space.low, (space.high - space.low) / 2, 1)
    middle = (space.high + space.low) / 2
    unit = gym.spaces.Box(-1, 1, space.shape, np.float32)
    env = TransformObservation(env, lambda seen: ((seen - middle) / half).astype(np.float32), unit)
    mean, deviation = rewards
    env = TransformReward(env, lambda reward: (reward - mean) / deviation)
    model = stable_baselines3.DQN(
        "MlpPolicy", env, gamma=0.0, seed=seed, policy_kwargs={"net_arch": [512, 512]}, device="cpu", **options
    )

    class Look(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps % EVERY == 0:
                watch.look(Theirs(model, middle, half), self.num_timesteps)
            return True

    model.learn(HORIZON, callback=Look())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="?", default="S3")
    parser.add_argument("--control", default="calls", choices=["calls", "threads"])
    parser.add_argument("--simulator", help="a simulator file (default: the bundled one)")
    parser.add_argument("--limit", type=float, default=600, help="seconds of training for each (default: 600)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: 2)")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    try:
        simulator = load_simulator(chosen.simulator or chosen.scenario)
    except SimulatorError:
        simulator = untrained_simulator(load_scenario(chosen.scenario))
    task = Task(chosen.scenario, simulator)
    grid = task.grid()
    rewards = grid.view(chosen.control)[1]
    scale = (float(rewards.mean()), float(rewards.std()))
    hyperparameters = Hyperparameters()
    fixed = rewards.mean(axis=0).max() / rewards.max(axis=1).mean()
    print(f"share of the oracle's reward that the best fixed action has: {fixed:.2%}")
    print(f"{'':<34} {'share':>7} {'interact.':>9} {'training':>10} {'rate':>9}")
    candidates = {
        "meshagents, default": lambda watch: ours(watch, task, hyperparameters, chosen.seed),
        "meshagents, plain inputs": lambda watch: ours(
            watch, task, replace(hyperparameters, frequencies=0), chosen.seed
        ),
        "Stable-Baselines3 DQN, defaults": lambda watch: theirs(watch, task, scale, chosen.seed, {}),
        "Stable-Baselines3 DQN, our batch": lambda watch: theirs(
            watch, task, scale, chosen.seed, {"batch_size": 128, "train_freq": 8, "learning_rate": 1e-3}
        ),
    }
    for name, run in candidates.items():
        watch = Watch(name, grid, chosen.control, chosen.limit)
        with suppress(Stop):
            run(watch)
        print(watch.line, flush=True)


if __name__ == "__main__":
    main()

"""Measure how fast environments step, next to Gymnasium's CartPole and a bare NumPy gather, in one process.

    python benchmarks/environments.py S1 S2 --rounds 20

Every round times each candidate once, one after the other, so that other work on the machine affects all of
them; the output shows medians over the rounds. The response tables are filled beforehand: the first step that needs an
entry would also wait for the simulator, whose rate is in the last lines. If a scenario has no bundled simulator,
an untrained one is used: its predictions mean nothing, but its table is just as fast.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

import meshgym
from meshgym.envs.spaces import CONTROLS
from meshgym.errors import SimulatorError
from meshgym.scenarios import load_scenario
from meshgym.simulator import Simulator, response_table
from meshgym.testing import untrained_simulator

#: Contexts are drawn 1024 at a time; each timing holds a draw.
SINGLE_STEPS, BATCHED_STEPS = 5_120, 1_024
#: Entries that are filled together.
FILLED_AT_ONCE = 500_000


def simulator_of(name: str) -> Simulator:
    """Return the bundled simulator, or an untrained one if there is none."""
    try:
        return meshgym.load_simulator(name)
    except SimulatorError:
        return untrained_simulator(name)


def single(env: Any) -> Callable[[int], None]:
    """Return a function that steps one environment with sampled actions."""
    env = env.unwrapped
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(1000)]

    def run(steps: int) -> None:
        for i in range(steps):
            if env.step(actions[i % 1000])[2]:
                env.reset()

    return run


def batched(envs: Any) -> Callable[[int], None]:
    """Return a function that steps a vector environment with sampled actions."""
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = envs.action_space.sample()

    def run(steps: int) -> None:
        for _ in range(steps):
            envs.step(actions)

    return run


def gather(name: str, count: int) -> Callable[[int], None]:
    """Return a function that only reads new rules and a response for each environment: the upper limit."""
    scenario = load_scenario(name)
    rules = scenario.rule_grid().astype(np.float32)
    actions = math.prod(len(values) for values in scenario.actions.values())
    responses = np.zeros((len(rules) * actions, 3), dtype=np.float32)
    generator = np.random.default_rng(0)
    rows = generator.integers(len(rules), size=(BATCHED_STEPS, count))
    entries = generator.integers(len(responses), size=(BATCHED_STEPS, count))

    def run(steps: int) -> None:
        for row, entry in zip(rows[:steps], entries[:steps], strict=True):
            rules.take(row, axis=0), responses.take(entry, axis=0)

    return run


def measure(candidates: dict[str, tuple[Callable[[int], None], int, int]], rounds: int) -> dict[str, float]:
    """Return environment steps per second, as medians over the rounds.

    Args:
        candidates: what runs, how many of its steps are timed, and how many environments it steps.
        rounds: how often each candidate is timed.
    """
    rates: dict[str, list[float]] = {label: [] for label in candidates}
    for _ in range(rounds):
        for label, (run, steps, count) in candidates.items():
            start = time.perf_counter()
            run(steps)
            rates[label].append(steps * count / (time.perf_counter() - start))
    return {label: statistics.median(values) for label, values in rates.items()}


def construction_ms(name: str, simulator: Simulator) -> float:
    """Return the median time to make one environment, with a simulator that is already loaded."""
    times = []
    for _ in range(9):
        simulator.tables.clear()
        start = time.perf_counter()
        gym.make(f"MeshResilience-{name}-v0", simulator=simulator)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def fill(name: str, simulator: Simulator) -> str:
    """Fill the response table and describe how long that took."""
    table = response_table(simulator, load_scenario(name))
    size = len(table.entries)
    start = time.perf_counter()
    for first in range(0, size, FILLED_AT_ONCE):
        table.read(np.arange(first, min(first + FILLED_AT_ONCE, size)))
    seconds = time.perf_counter() - start
    return f"table of {size:,} entries filled in {seconds:.2f} s, {size / seconds / 1e3:.0f} thousand per second"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=["S1", "S2"])
    parser.add_argument("--num-envs", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    count = chosen.num_envs
    singles = {"CartPole-v1": (single(gym.make("CartPole-v1")), SINGLE_STEPS, 1)}
    batches = {"CartPole-v1": (batched(gym.make_vec("CartPole-v1", num_envs=count)), BATCHED_STEPS, count)}
    notes = []
    for name in chosen.scenarios:
        simulator = simulator_of(name)
        notes.append(f"{name}: made in {construction_ms(name, simulator):.1f} ms; {fill(name, simulator)}")
        batches[f"{name} bare gather"] = (gather(name, count), BATCHED_STEPS, count)
        for control in CONTROLS:
            arguments: dict[str, Any] = {"control": control, "simulator": simulator}
            one = single(gym.make(f"MeshResilience-{name}-v0", **arguments))
            many = batched(gym.make_vec(f"MeshResilience-{name}-v0", num_envs=count, **arguments))
            singles[f"{name} {control}"] = (one, SINGLE_STEPS, 1)
            batches[f"{name} {control}"] = (many, BATCHED_STEPS, count)
    rates = measure(singles, chosen.rounds)
    print(f"{'one environment':<24}{'thousand steps/s':>18}{'of CartPole':>14}")
    for label, rate in rates.items():
        print(f"{label:<24}{rate / 1e3:>18.0f}{rate / rates['CartPole-v1']:>14.2f}")
    rates = measure(batches, chosen.rounds)
    print(f"\n{f'{count} environments':<24}{'million steps/s':>18}{'of CartPole':>14}{'of the gather':>15}")
    for label, rate in rates.items():
        limit = rates.get(f"{label.split()[0]} bare gather")
        share = f"{rate / limit:>15.2f}" if limit else ""
        print(f"{label:<24}{rate / 1e6:>18.1f}{rate / rates['CartPole-v1']:>14.2f}{share}")
    print("", *notes, sep="\n")


if __name__ == "__main__":
    main()

"""How fast environments step, beside Gymnasium's own CartPole and a bare NumPy gather, in one process.

    python benchmarks/environments.py S1 S2 --rounds 20

Every round times each candidate once, one after the other, so that whatever else the machine does meets
all of them; the medians over the rounds are shown. The response tables are filled before: a step that is the
first to need an entry also waits for the simulator, whose rate stands in the last lines. Without a bundled
simulator an untrained one is read: what it answers means nothing, but a table is as fast as another.
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
    """The bundled simulator, or an untrained one where there is none."""
    try:
        return meshgym.load_simulator(name)
    except SimulatorError:
        return untrained_simulator(name)


def single(env: Any) -> Callable[[int], None]:
    """Steps of one environment under sampled actions."""
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
    """Steps of a vector environment under sampled actions."""
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = envs.action_space.sample()

    def run(steps: int) -> None:
        for _ in range(steps):
            envs.step(actions)

    return run


def gather(name: str, count: int) -> Callable[[int], None]:
    """The limit: nothing but the next rules and the response read for each environment, others at each step."""
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
    """Environment steps a second: medians over the rounds.

    Args:
        candidates: what runs, how many steps of it are timed, and how many environments it steps.
        rounds: how often each is timed.
    """
    rates: dict[str, list[float]] = {label: [] for label in candidates}
    for _ in range(rounds):
        for label, (run, steps, count) in candidates.items():
            start = time.perf_counter()
            run(steps)
            rates[label].append(steps * count / (time.perf_counter() - start))
    return {label: statistics.median(values) for label, values in rates.items()}


def construction_ms(name: str, simulator: Simulator) -> float:
    """Median time to make one environment, its simulator being loaded."""
    times = []
    for _ in range(9):
        simulator.tables.clear()
        start = time.perf_counter()
        gym.make(f"MeshResilience-{name}-v0", simulator=simulator)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def fill(name: str, simulator: Simulator) -> str:
    """Fill the response table; how long that took, in words."""
    table = response_table(simulator, load_scenario(name))
    size = len(table.entries)
    start = time.perf_counter()
    for first in range(0, size, FILLED_AT_ONCE):
        table.read(np.arange(first, min(first + FILLED_AT_ONCE, size)))
    seconds = time.perf_counter() - start
    return f"table of {size:,} entries filled in {seconds:.2f} s, {size / seconds / 1e3:.0f} thousand a second"


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

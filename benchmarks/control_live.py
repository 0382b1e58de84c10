"""Control over time on the real Envoy: the benchmark's controllers, and what the simulator promises of them.

    python benchmarks/control_live.py --episodes 20

Each controller has the same loads (those of ``mixed``), live and simulated. Prints its score, see
``meshagents.benchmark.control``: 200s per second less the cost of changes, as a share of the calls that were sent; with
95 % intervals over episodes, and the paired difference to the best rules that never change.
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import numpy as np

import meshgym  # noqa: F401 (registers the environments)
from meshagents.benchmark.control import ControlTask, best_fixed, played
from meshagents.controllers import additive_increase, fixed, hysteresis, istio_defaults
from meshagents.statistics import mean_interval
from meshgym.errors import DisturbedError

ATTEMPTS = 5


def scores(envs, choose, seed):
    """Return the score of an episode of each copy; disturbed ones are played again."""
    for _ in range(ATTEMPTS - 1):
        try:
            return played(envs, choose, seed)
        except DisturbedError:
            continue
    return played(envs, choose, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--lanes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    task = ControlTask("control-mixed", "mixed")
    agent = task.train_dqn(options.seed, 1)
    controllers = {
        "fixed": fixed(task.panel, best_fixed(task, options.seed, 1)),
        "Istio's defaults": istio_defaults(task.panel),
        "hysteresis": hysteresis(task.panel),
        "additive increase": additive_increase(task.panel),
        "DQN": agent.act,
    }
    batches = range(5_000_000, 5_000_000 + options.episodes, options.lanes)
    made = {
        kind: gym.make_vec(name, num_envs=options.lanes, flat=True, process="mixed")
        for kind, name in (("live", "LiveMeshControl-v0"), ("simulated", "MeshControl-v0"))
    }
    found = {
        (name, kind): np.concatenate([scores(envs, choose, seed) for seed in batches])
        for name, choose in controllers.items()
        for kind, envs in made.items()
    }
    made["live"].close()
    for name in controllers:
        live, simulated = (mean_interval(found[name, kind]) for kind in ("live", "simulated"))
        more = mean_interval(found[name, "live"] - found["fixed", "live"])
        beside = "" if name == "fixed" else f"; live {more} more than fixed"
        print(f"{name}: live {live}, simulated {simulated}{beside}")


if __name__ == "__main__":
    main()

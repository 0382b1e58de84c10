"""How good a decision is after few runs on a real Envoy: the loads that a search decides on, measured.

    python benchmarks/few_runs_live.py S3 S4 --out few-runs-live

On a quiet machine. Collects an adaptive plan of 120 runs on the embedded mesh, as ``meshgym collect`` does; decides the
load under rules that the search doesn't know, after 60 and after 120 runs; then measures those loads, the one that the
bundled simulator holds for the worst, and a random one, three times each, in random order. That simulator learned from
thousands of runs, so its load stands for the best one; a share above 1 means that the search found a worse load.

Beside it stands the same with the simulator, its noise drawn, in place of the Envoy. Prints shares with 95 % intervals
(bootstrap over rules). A run of this script that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from meshgym.adaptive.plan import AdaptivePlan
from meshgym.adaptive.search import Search
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.rewards import load_reward
from meshgym.scenarios import load_scenario
from meshgym.simulator import load_simulator
from meshgym.simulator.mesh import SimulatedMesh
from meshgym.traces.collect import collect
from meshgym.traces.store import load_traces
from meshgym.types import RESPONSE_NAMES, Response

CHECKS = (60, 120)
RULES, REPEATS = 24, 3
reward = load_reward("worst_case")


def decisions(scenario, frame, simulator, seed):
    """Return rules, and the load that each way decides on under them, by name."""
    generator = np.random.default_rng([seed, 99])
    spans = [span.values for span in scenario.rules.values()]
    rules = np.column_stack([generator.choice(span, RULES) for span in spans])
    loads = np.array(np.meshgrid(*scenario.actions.values(), indexing="ij")).reshape(2, -1).T.astype(float)
    frame = frame.sort_values("run")
    chosen = {"random": loads[generator.integers(len(loads), size=RULES)]}
    for runs in CHECKS:
        search, first = Search(scenario, runs=runs, seed=seed), frame.head(runs)
        columns = (first[name].to_numpy() for name in RESPONSE_NAMES)
        search.tell(first[list(scenario.setting_names)].to_numpy(float), Response(*columns))
        chosen[f"{runs} runs"] = search.decide(rules)
    every = np.column_stack([np.repeat(rules, len(loads), axis=0), np.tile(loads, (RULES, 1))])
    expected = reward(*simulator.predict(every)[:3]).reshape(RULES, -1)
    return rules, chosen | {"best": loads[expected.argmax(axis=1)]}


def measured(mesh, scenario, rules, chosen, path, seed):
    """Return mean rewards, shape (rules,), by way; runs are kept in a file."""
    tasks = [(way, row, again) for way in chosen for row in range(RULES) for again in range(REPEATS)]
    found = json.loads(path.read_text()) if path.exists() else {}
    for number in np.random.default_rng(seed).permutation(len(tasks)):
        way, row, again = tasks[number]
        if (key := f"{way} {row} {again}") not in found:
            setting = scenario.setting_at([*rules[row], *chosen[way][row]])
            found[key] = float(reward(*mesh.measure(setting.rules, setting.load)[:3]))
            path.write_text(json.dumps(found))
    values = {
        way: [[found[f"{way} {row} {again}"] for again in range(REPEATS)] for row in range(RULES)] for way in chosen
    }
    return {way: np.mean(own, axis=1) for way, own in values.items()}


def shares(rewards, seed):
    """Return each way's share of the best with its 95 % interval."""
    drawn = np.random.default_rng(seed).integers(RULES, size=(2000, RULES))
    best = rewards["best"]
    for way, own in rewards.items():
        low, high = np.quantile(own[drawn].mean(axis=1) / best[drawn].mean(axis=1), (0.025, 0.975))
        yield way, own.mean() / best.mean(), low, high


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["S3", "S4"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("few-runs-live"))
    options = parser.parse_args()
    for name in options.sets:
        scenario, simulator, seed = load_scenario(name), load_simulator(name), options.seed
        meshes = {
            "Envoy": lambda scenario=scenario: EmbeddedMesh(scenario),
            "simulated": lambda simulator=simulator: SimulatedMesh(simulator, sample=True, seed=0),
        }
        for kind, make in meshes.items():
            folder = options.out / f"{name}-{seed}-{kind}"
            with make() as mesh:
                path = collect(scenario, folder, planner=AdaptivePlan(scenario, runs=max(CHECKS), seed=seed), mesh=mesh)
                rules, chosen = decisions(scenario, load_traces(path), simulator, seed)
                rewards = measured(mesh, scenario, rules, chosen, folder / "decisions.json", seed)
            for way, share, low, high in shares(rewards, seed):
                print(f"{name:<4}{kind:<11}{way:<10}{share:7.3f} [{low:.3f}, {high:.3f}]", flush=True)


if __name__ == "__main__":
    main()

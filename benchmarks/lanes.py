"""Compare lanes that share one embedded mesh with a mesh per lane and with a single lane, on the same settings.

    python benchmarks/lanes.py S4 --lanes 8 --rows 80

Measures what a call costs (processor time of the client and the Envoys, including their start), the time of a run
beyond its load, and how much measuring several settings at once shifts rates and failures. The three candidates take
turns, so that other work on the machine affects all of them.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.scenarios import Scenario, load_scenario
from meshgym.traces.lanes import Lanes, Pool, SharedLanes
from meshgym.traces.plan import Plan, make_plan
from meshgym.types import Response, Setting


def pools(scenario: Scenario, lanes: int) -> dict[str, Callable[[], Pool]]:
    """Return the candidates, by name."""
    return {
        "alone": lambda: SharedLanes(partial(EmbeddedMesh, scenario)),
        "shared": lambda: SharedLanes(partial(EmbeddedMesh, scenario, lanes=lanes)),
        "separate": lambda: Lanes([partial(EmbeddedMesh, scenario)] * lanes),
    }


def measure(make_pool: Callable[[], Pool], plan: Plan) -> dict[str, float]:
    """Run the plan; return means over its runs."""
    before = sum(os.times()[:4])
    responses = []
    with make_pool() as pool:
        started = time.perf_counter()
        waiting = list(range(len(plan)))
        while len(responses) < len(plan):
            while waiting and pool.free:
                run = waiting.pop()
                pool.submit(run, Setting.from_row(plan.settings[run]))
            for outcome in pool.completed():
                if not isinstance(outcome.result, Response):
                    raise outcome.result
                responses.append(outcome.result.to_dict())
        seconds = time.perf_counter() - started
    calls = plan.settings[:, -1].sum()
    means = {name: float(np.mean([one[name] for one in responses])) for name in ("qps", "p503", "overhead_s")}
    cpu_s = sum(os.times()[:4]) - before
    return {"calls_per_s": calls / seconds, "cpu_ms_per_call": 1000 * cpu_s / calls, **means}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="?", default="S4")
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--rows", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    scenario = load_scenario(chosen.scenario)
    plan = make_plan(scenario, chosen.rows, seed=0)
    rounds = []
    for number in range(chosen.rounds):
        rounds.append({name: measure(make, plan) for name, make in pools(scenario, chosen.lanes).items()})
        for name, found in rounds[-1].items():
            print(f"round {number} {name:<9}" + "  ".join(f"{key} {value:.4g}" for key, value in found.items()))
    for one, other, key in [("shared", "separate", "cpu_ms_per_call"), ("shared", "alone", "qps")]:
        ratios = " ".join(f"{found[one][key] / found[other][key]:.2f}" for found in rounds)
        print(f"{key}, {one} over {other}: {ratios}")


if __name__ == "__main__":
    main()

"""What persistent ejections do: the same rules and loads, with ejections that stay, and without.

    python benchmarks/persistence.py --episodes 20

Episodes of the scenario C1 on the embedded Envoy, several side by side. Without, Envoy's cluster is built anew for each
interval, so no ejection and no connection stays; used capacity and failing replicas stay either way. Prints
the share of calls with a 503 either way, and the difference, paired by episode, with 95 % intervals.
"""

from __future__ import annotations

import argparse

import numpy as np

from meshagents.statistics import mean_interval
from meshgym.mesh.embedded.sequences import EmbeddedSequences
from meshgym.processes import PROCESSES, draw_rates
from meshgym.scenarios import load_scenario

#: Rules in the order of the scenario's; each pair is measured both ways.
RULES = {
    "eject at once, 75 %, for 9 s": (9, 75, 0.5, 1, 16),
    "eject after 6 errors, 25 %, for 9 s": (9, 25, 0.5, 6, 16),
    "eject after 6 errors, 25 %, for 1 s": (1, 25, 0.5, 6, 16),
}


def shares(sequences, rules, rates):
    """Return the share of calls with a 503 in each episode, shape (episodes,)."""
    failed = []
    for batch in np.split(rates, range(sequences.copies, len(rates), sequences.copies)):
        sequences.begin()
        intervals = []
        for rate in batch.T:
            settings = np.column_stack([np.tile(rules, (len(rate), 1)), rate, rate * sequences.control.interval_s])
            intervals.append(sequences.measure(settings).p503 * rate)
        failed.append(np.sum(intervals, axis=0) / batch.sum(axis=1))
    return np.concatenate(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--lanes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    scenario = load_scenario("C1")
    span, intervals = scenario.load["rate_per_s"], scenario.control.intervals
    generator = np.random.default_rng(options.seed)
    rates = [draw_rates(PROCESSES["mixed"], generator, intervals, span) for _ in range(options.episodes)]
    lanes = min(options.lanes, options.episodes)
    rates = np.array(rates)[: options.episodes // lanes * lanes]
    print(f"share of calls with a 503, {len(rates)} episodes of {intervals} intervals:")
    for words, rules in RULES.items():
        found = {}
        for fresh in (False, True):
            with EmbeddedSequences(scenario, lanes, fresh=fresh) as sequences:
                found[fresh] = shares(sequences, rules, rates)
        stays, afresh, more = (mean_interval(own) for own in (found[False], found[True], found[False] - found[True]))
        print(f"{words}: {stays} where ejections stay, {afresh} where none does; difference {more}")


if __name__ == "__main__":
    main()

"""Whether a simulator of another mesh saves runs: error on unseen runs, from few with it, and from more without.

    python benchmarks/transfer.py S1 cluster-S1.csv --mesh cluster
    python benchmarks/transfer.py S3 slow/collection.db --runs 20 60
    python benchmarks/transfer.py S1 S1.csv.gz --authors

The first argument is the prior. Runs are drawn from the file, with several seeds; the rest of it tests. Fits as
``meshgym fit`` does, with all runs that were drawn, and prints the root mean square error of p503 and of log qps:
without a prior, with it, and as fit chooses between both.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import threadpoolctl

from meshgym.fields import settings_among
from meshgym.scenarios import load_scenario
from meshgym.simulator import load_simulator
from meshgym.simulator.arrays import TraceArrays
from meshgym.simulator.artefact import PriorFeatures
from meshgym.simulator.features import Features
from meshgym.simulator.selection import choose
from meshgym.traces.authors import load_authors_traces
from meshgym.traces.store import load_traces


def errors(predicted, arrays):
    """Return the root mean square errors of p503 and of log qps."""
    qps, p503 = predicted[:, 0].clip(1), predicted[:, 1].clip(0, 1)
    missed = p503 - arrays.targets[:, 1], np.log(qps) - np.log(arrays.targets[:, 0])
    return [float(np.sqrt(np.square(one).mean())) for one in missed]


def compare(whole, prior, runs, seed, scenario):
    """Return a row of errors for each way to fit ``runs`` of the rows."""
    with threadpoolctl.threadpool_limits(1):
        groups = np.random.default_rng(seed).permutation(np.unique(whole.groups))
        order = np.argsort(np.argsort(groups)[np.searchsorted(np.unique(whole.groups), whole.groups)], kind="stable")
        train, test = whole.part(order[:runs]), whole.part(order[runs:])
        features = Features.of(scenario)
        found = {
            "without": choose(train, seed, None, features),
            "with": choose(train, seed, None, PriorFeatures(features, prior)),
        }
        found["chosen"] = min(found.values(), key=lambda one: one.error)
        rows = [
            {"way": way, "runs": runs, "errors": errors(one.predict(test.settings), test)} for way, one in found.items()
        ]
        response = prior.predict(test.settings)
        alone = errors(np.column_stack([response.qps, response.p503]), test)
        return [*rows, {"way": "the prior alone", "runs": 0, "errors": alone}]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior")
    parser.add_argument("file")
    parser.add_argument("--authors", action="store_true", help="the file is one of the authors' own")
    parser.add_argument("--mesh", help="use only rows whose column mesh says so")
    parser.add_argument("--runs", type=int, nargs="+", default=[20, 40, 60])
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    prior = load_simulator(options.prior)
    scenario = load_scenario(prior.identity.scenario)
    if options.mesh:
        frame = pd.read_csv(options.file)
        frame = frame[frame["mesh"] == options.mesh]
        frame = frame[[*settings_among(frame), "qps", "p200", "p503"]]
    elif options.authors:
        frame = load_authors_traces(options.file)
    else:
        frame = load_traces(options.file)
    whole = TraceArrays.of(frame)
    calls = (
        joblib.delayed(compare)(whole, prior, runs, seed, scenario)
        for runs in options.runs
        for seed in range(options.seeds)
    )
    rows = pd.DataFrame(itertools.chain.from_iterable(joblib.Parallel(n_jobs=2)(calls)))
    print(f"{Path(options.file).name}, prior {options.prior}: mean over {options.seeds} seeds")
    for (way, runs), own in rows.groupby(["way", "runs"]):
        p503, qps = np.array(list(own["errors"])).T
        half = 1.96 / np.sqrt(len(own))
        print(
            f"  {way:<16}{runs:>4} runs   p503 {p503.mean():.3f} ± {half * p503.std():.3f}   "
            f"log qps {qps.mean():.3f} ± {half * qps.std():.3f}"
        )


if __name__ == "__main__":
    main()

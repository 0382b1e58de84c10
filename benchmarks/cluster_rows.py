"""Measure settings on the embedded mesh that were measured in a real cluster, and compare.

    python benchmarks/cluster_rows.py cluster-S1.csv S1 --lanes 6 --repeats 4

The file is a trace set with a column ``mesh``; its rows of ``cluster`` are a default sidecar's (two workers, idle time
of an hour), without mutual TLS. Prints, for each other mesh in the file and for the embedded one as it is now: the
bias, the share of settings within .1, the root mean square difference with the noise of both taken off, and the rank
correlation. Noise is what lies between repeats of one setting.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from functools import partial

import numpy as np
import pandas as pd

from meshgym.fields import settings_among
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.scenarios import Scenario, load_scenario
from meshgym.traces.lanes import SharedLanes
from meshgym.traces.quality import group_by_setting, pure_error
from meshgym.types import Response, Setting

OURS = "embedded, now"


def measure(scenario: Scenario, settings: np.ndarray, lanes: int) -> pd.DataFrame:
    """Measure settings, shape (n, columns), without mutual TLS."""
    assert scenario.service is not None
    profile = dataclasses.replace(scenario.service, mtls=False)
    rows = []
    with SharedLanes(partial(EmbeddedMesh, scenario, profile=profile, lanes=lanes)) as pool:
        waiting = list(range(len(settings)))
        while len(rows) < len(settings):
            while waiting and pool.free:
                run = waiting.pop()
                pool.submit(run, Setting.from_row(settings[run]))
            for outcome in pool.completed():
                if not isinstance(outcome.result, Response):
                    raise outcome.result
                setting = dict(zip(scenario.setting_names, settings[outcome.run], strict=True))
                rows.append({"mesh": OURS, **setting, **outcome.result.to_dict()})
    return pd.DataFrame(rows)


def compare(cluster: pd.DataFrame, other: pd.DataFrame, names: list[str]) -> str:
    """Return one line for each outcome."""
    lines = []
    for outcome, scale in {"p503": lambda values: values, "qps": np.log}.items():
        both = []
        for frame in (cluster, other):
            values = scale(frame[outcome])
            noise = pure_error(values.to_numpy(), group_by_setting(frame[names].to_numpy(float)))
            table = values.groupby([frame[name] for name in names]).agg(["mean", "count"])
            both.append(table.assign(noise=noise / table["count"]))
        joined = both[0].merge(both[1], left_index=True, right_index=True, suffixes=("_cluster", "_other"))
        difference = joined["mean_other"] - joined["mean_cluster"]
        noise = joined[["noise_cluster", "noise_other"]].fillna(joined["noise_cluster"].mean()).sum(axis=1).mean()
        systematic = np.square(difference).mean() - noise
        rank = joined["mean_other"].rank().corr(joined["mean_cluster"].rank())
        lines.append(
            f"  {'log qps' if outcome == 'qps' else outcome:<8} {len(joined):4} settings  bias {difference.mean():+.3f}"
            f" +- {1.96 * difference.std() / len(joined) ** 0.5:.3f}  within .1: {(difference.abs() <= 0.1).mean():.2f}"
            f"  systematic rms {math.copysign(abs(systematic) ** 0.5, systematic):+.3f}  rank {rank:.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("scenario")
    parser.add_argument("--lanes", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=4)
    chosen = parser.parse_args()
    scenario = load_scenario(chosen.scenario)
    frame = pd.read_csv(chosen.file)
    names = list(settings_among(frame))
    cluster = frame[frame["mesh"] == "cluster"]
    settings = np.tile(cluster[names].drop_duplicates().to_numpy(float), (chosen.repeats, 1))
    np.random.default_rng(0).shuffle(settings)
    ours = measure(scenario, settings, chosen.lanes)
    meshes = {name: rows for name, rows in frame.groupby("mesh") if name != "cluster"} | {OURS: ours}
    for name, rows in meshes.items():
        print(f"{chosen.scenario}, {name} against the cluster\n{compare(cluster, rows, names)}")
    one = [rows[rows["threads"] == rows["threads"].min()]["qps"].mean() for rows in (ours, cluster)]
    print(f"pace of this machine: with fewest threads {one[0] / one[1]:.2f} times the cluster's answers a second")


if __name__ == "__main__":
    main()

"""Measure settings on the embedded mesh that were measured in a real cluster, and compare.

    python benchmarks/cluster_rows.py cluster-S1.csv S1
    python benchmarks/cluster_rows.py cluster-S1.csv S1 --slower 0.8 --part 1
    python benchmarks/cluster_rows.py side-by-side.json S1

A .csv is a trace set with a column ``mesh``; its rows of ``cluster`` are a default sidecar's (two workers, idle time of
an hour), without mutual TLS. A .json has rows of another service, which it describes.

Prints, for the embedded mesh as it is now, and as it is for each other mesh in the file: the bias, the share of
settings within .1, the root mean square difference with the noise of both taken off (negative where less is left than
noise explains), and the rank correlation, with 95 % intervals over settings. Noise is what lies between repeats of one
setting. Of few rules with many repeats, prints each.

``--slower`` lets both proxies take so many milliseconds longer: the pace of another machine. ``--part 0`` takes every
other setting, ``--part 1`` the rest, so that the pace can be chosen on the one and tried on the other.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from meshgym.fields import settings_among
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.scenarios import Scenario, load_scenario
from meshgym.service.profile import ServiceProfile
from meshgym.traces.lanes import SharedLanes
from meshgym.traces.quality import group_by_setting, pure_error
from meshgym.types import Response, Setting

OURS = "embedded, now"
OUTCOMES: dict[str, tuple[str, Callable[[pd.Series], pd.Series]]] = {
    "p503": ("p503", lambda values: values),
    "log qps": ("qps", np.log),
}
#: From so many repeats on, each setting is compared by itself.
_MANY_REPEATS = 8
_RESAMPLES = 2000


def read(file: Path, scenario: Scenario) -> tuple[pd.DataFrame, ServiceProfile]:
    """Return the rows of a file, and the service that they were measured on, without mutual TLS."""
    if file.suffix == ".json":
        document = json.loads(file.read_text())
        return pd.DataFrame(document["runs"]), ServiceProfile(**document["service"])
    assert isinstance(scenario.service, ServiceProfile)
    return pd.read_csv(file), dataclasses.replace(scenario.service, mtls=False)


def measure(scenario: Scenario, profile: ServiceProfile, settings: pd.DataFrame, lanes: int) -> pd.DataFrame:
    """Measure settings, one a row."""
    rows = []
    names = list(settings)
    values = settings.to_numpy(float)
    with SharedLanes(partial(EmbeddedMesh, scenario, profile=profile, lanes=lanes)) as pool:
        waiting = list(range(len(values)))
        while len(rows) < len(values):
            while waiting and pool.free:
                run = waiting.pop()
                pool.submit(run, Setting.from_row(values[run], names))
            for outcome in pool.completed():
                if not isinstance(outcome.result, Response):
                    raise outcome.result
                setting = dict(zip(names, values[outcome.run], strict=True))
                rows.append({"mesh": OURS, **setting, **outcome.result.to_dict()})
    return pd.DataFrame(rows)


def side_by_side(cluster: pd.DataFrame, other: pd.DataFrame, names: list[str], outcome: str) -> pd.DataFrame:
    """Return a row for each setting that both have: means and variances of these, of the cluster and of the other."""
    column, scale = OUTCOMES[outcome]
    tables = []
    for frame in (cluster, other):
        values = scale(frame[column])
        noise = pure_error(values.to_numpy(), group_by_setting(frame[names].to_numpy(float)))
        table = values.groupby([frame[name] for name in names]).agg(["mean", "var", "count"])
        tables.append(table.assign(noise=noise / table["count"]))
    return tables[0].merge(tables[1], left_index=True, right_index=True, suffixes=("_cluster", "_other"))


def compare(cluster: pd.DataFrame, other: pd.DataFrame, names: list[str]) -> str:
    """Return a line for each outcome."""
    generator = np.random.default_rng(0)
    lines = []
    for outcome in OUTCOMES:
        both = side_by_side(cluster, other, names, outcome)
        difference = (both["mean_other"] - both["mean_cluster"]).to_numpy()
        noise = both[["noise_cluster", "noise_other"]].fillna(both["noise_cluster"].mean()).sum(axis=1).to_numpy()
        drawn = generator.integers(len(both), size=(_RESAMPLES, len(both)))
        left = np.square(difference) - noise
        low, high = np.quantile(left[drawn].mean(axis=1), [0.025, 0.975])
        rms, low, high = (np.sign(square) * abs(square) ** 0.5 for square in (left.mean(), low, high))
        rank = both["mean_other"].rank().corr(both["mean_cluster"].rank())
        lines.append(
            f"  {outcome:<8} {len(both):3} settings  bias {difference.mean():+.3f}"
            f" +- {1.96 * difference.std(ddof=1) / len(both) ** 0.5:.3f}"
            f"  within .1: {(np.abs(difference) <= 0.1).mean():.2f}"
            f"  systematic rms {rms:+.3f} [{low:+.3f}, {high:+.3f}]  rank {rank:.2f}"
        )
    return "\n".join(lines)


def one_by_one(cluster: pd.DataFrame, other: pd.DataFrame, names: list[str]) -> str:
    """Return a line for each setting, and how many lie within two standard errors."""
    lines = []
    for outcome in OUTCOMES:
        both = side_by_side(cluster, other, names, outcome)
        error = (both["var_cluster"] / both["count_cluster"] + both["var_other"] / both["count_other"]) ** 0.5
        difference = (both["mean_other"] - both["mean_cluster"]).abs()
        away = (difference / error).where(difference > 0, 0.0)
        for _, row in both.assign(away=away).reset_index().iterrows():
            setting = " ".join(f"{row[name]:g}" for name in names)
            lines.append(
                f"  {setting:<24} {outcome:<8} {row['mean_cluster']:6.3f} cluster  {row['mean_other']:6.3f} here"
                f"  {row['away']:5.1f} standard errors"
            )
        lines.append(f"  {outcome}: {int((away <= 2).sum())} of {len(both)} within two standard errors")
    return "\n".join(lines)


def against_itself(cluster: pd.DataFrame, names: list[str]) -> str:
    """Return how often single runs of the cluster agree with each other."""
    pairs = cluster.merge(cluster, on=names)
    pairs = pairs[pairs["repeat_x"] < pairs["repeat_y"]]
    within = ((pairs["p503_x"] - pairs["p503_y"]).abs() <= 0.1).mean()
    return f"{len(pairs)} pairs of the cluster's own runs: p503 within .1 of each other in {within:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("scenario")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--slower", type=float, default=0.0, metavar="MS")
    parser.add_argument("--part", type=int, choices=(0, 1))
    chosen = parser.parse_args()
    scenario = load_scenario(chosen.scenario)
    frame, profile = read(chosen.file, scenario)
    profile = dataclasses.replace(
        profile,
        network_delay_ms=profile.network_delay_ms + chosen.slower,
        service_time_ms=profile.service_time_ms + chosen.slower,
    )
    names = list(settings_among(frame))
    cluster = frame[frame["mesh"] == "cluster"]
    settings = cluster[names].drop_duplicates()
    if chosen.part is not None:
        settings = settings.iloc[chosen.part :: 2]
    order = np.random.default_rng(0).permutation(len(settings) * chosen.repeats)
    ours = measure(scenario, profile, pd.concat([settings] * chosen.repeats).iloc[order], chosen.lanes)
    part = f", part {chosen.part}" if chosen.part is not None else ""
    print(f"{chosen.file.stem}, proxies slower by {chosen.slower:g} ms{part}")
    if len(cluster) / len(settings) >= _MANY_REPEATS:
        print(one_by_one(cluster, ours, names))
        return
    others = {} if chosen.slower else {name: rows for name, rows in frame.groupby("mesh") if name != "cluster"}
    for name, rows in {**others, OURS: ours}.items():
        print(f"{name} against the cluster\n{compare(cluster, rows.merge(settings, on=names), names)}")
    print(against_itself(cluster, names))
    fewest = [rows[rows["threads"] == rows["threads"].min()] for rows in (ours, cluster)]
    call_ms = [1000 * (rows["threads"] / rows["qps"]).mean() for rows in fewest]
    print(f"with fewest threads, a call takes {call_ms[0]:.2f} ms here and {call_ms[1]:.2f} ms in the cluster")


if __name__ == "__main__":
    main()

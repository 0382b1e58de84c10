"""The commands that fit simulators, and judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from meshgym.cli.console import Console, Count, Seed, Several
from meshgym.errors import InvalidValueError
from meshgym.files import make_folder
from meshgym.scenarios import SCENARIO_NAMES, Scenario, load_scenario


def fit(
    *,
    scenario: str = "S1",
    traces: str | None = None,
    sequences: str | None = None,
    prior: str | None = None,
    seed: Seed = 0,
    out: Path | None = None,
    console: Console,
) -> None:
    """Fit a simulator to traces, or to sequences.

    Args:
        scenario: S1..S5, C1 or a .toml file.
        traces: CSV or Parquet file (default: the bundled set).
        sequences: C1 for the bundled set of sequences, or a file of meshgym sequences; instead of traces.
        prior: S1..S5 or the file of a simulator of a similar mesh, to start from.
        seed: seed of split and training.
        out: file (default: simulators/SCENARIO.npz).
    """
    from meshgym.simulator import load_simulator
    from meshgym.simulator.training import fit_simulator
    from meshgym.traces.store import load_traces

    if sequences is not None and (traces is not None or prior is not None):
        raise InvalidValueError("sequences", sequences, "neither --traces nor --prior beside it")
    chosen = load_scenario(scenario)
    before = load_simulator(prior) if prior else None
    path = out or Path("simulators") / f"{chosen.name}.npz"
    make_folder(path.parent)
    if sequences is not None:
        _fit_sequences(chosen, sequences, seed, path, console)
        return
    frame = load_traces(traces or chosen.name)
    with console.bar(f"fit {chosen.name}") as progress:
        simulator = fit_simulator(frame, chosen, seed=seed, progress=progress, prior=before)
    simulator.save(path)
    console.record(path)
    for name, value in simulator.identity.metrics.items():
        print(f"{name:<24}{value:.4g}")
    print(f"{simulator.identity.kind}, by mean squared error in cross-validation:")
    for name, value in simulator.identity.errors.items():
        print(f"  {name:<32}{value:.4g}")
    print(path)


def _fit_sequences(scenario: Scenario, sequences: str, seed: int, path: Path, console: Console) -> None:
    """Fit a simulator of sequences, and print how well it predicts intervals ahead."""
    from meshgym.simulator.sequential_fit import fit_sequences, to_text
    from meshgym.traces.sequences import load_sequences

    frame = load_sequences(sequences, scenario)
    with console.bar(f"fit {scenario.name}") as progress:
        simulator, table = fit_sequences(frame, scenario, seed, progress)
    simulator.save(path)
    console.record(path)
    print(f"{to_text(table)}\n{path}")


def coverage(sets: tuple[str, ...] = SCENARIO_NAMES) -> None:
    """Tell how often the 90 % intervals of the bundled simulators hold on runs they haven't seen.

    Args:
        sets: names of bundled sets.
    """
    from meshgym.simulator import coverage, simulator_for
    from meshgym.traces.store import load_traces

    found = {}
    for name in sets:
        scenario = load_scenario(name)
        found[name] = coverage.coverage(load_traces(name), simulator_for(scenario), scenario)
    print(coverage.to_text(found))


def table4(
    sets: tuple[str, ...] = SCENARIO_NAMES,
    *,
    authors: bool = False,
    seeds: Count = 3,
    split: Annotated[tuple[Literal["settings", "blocks"], ...], Several] = ("settings",),
    jobs: Count = 2,
    out: Path = Path("table4"),
    console: Console,
) -> None:
    """Fit every model to trace sets and compare them.

    Args:
        sets: names of bundled sets, or files.
        authors: read the authors' own files, such as S1.csv.gz.
        seeds: splits and fits of each model, at least 1.
        split: how to draw the test part: by settings, or by blocks of successive runs.
        jobs: processes, at least 1.
        out: folder.
    """
    from meshgym.simulator import table4
    from meshgym.traces.authors import load_authors_traces
    from meshgym.traces.store import load_traces

    load = load_authors_traces if authors else load_traces
    frames = {Path(name).name.split(".")[0]: load(name) for name in sets}
    folder = make_folder(out)
    with console.bar("table 4", "fits") as progress:
        table = table4.run(frames, seeds=range(seeds), splits=split, jobs=jobs, progress=progress)
    console.record(folder)
    for path in table4.save(table, folder):
        print(path)
    print(table4.to_markdown(table.scores))

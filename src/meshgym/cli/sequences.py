"""The command that takes sequences on the embedded mesh."""

from __future__ import annotations

from pathlib import Path

from meshgym.cli.console import Console, Count, Seed
from meshgym.cli.mesh_options import Lanes
from meshgym.errors import IncompleteError, clean
from meshgym.files import make_folder
from meshgym.scenarios import CONTROL_SCENARIO, load_scenario


def sequences(
    *,
    scenario: str = CONTROL_SCENARIO,
    episodes: Count = 100,
    seed: Seed = 0,
    lanes: Lanes = 8,
    out: Path | None = None,
    console: Console,
) -> None:
    """Take sequences of runs on the embedded Envoy, where ejections and connections stay from one to the next.

    Args:
        scenario: C1 or a .toml file with a section [control].
        episodes: how many.
        seed: of the plan.
        lanes: episodes that are taken at once, 1..64.
        out: folder (default: sequences/SCENARIO). Sequences begun in it go on.
    """
    from meshgym.traces.collection import read_given_up
    from meshgym.traces.sequences import collect_sequences

    chosen = load_scenario(scenario)
    folder = make_folder(out or Path("sequences") / chosen.name)
    with console.bar(f"sequences {chosen.name}", "episodes") as progress:
        path = collect_sequences(chosen, folder, episodes, seed=seed, lanes=lanes, progress=progress)
    console.record(folder)
    print(path)
    if given_up := read_given_up(path):
        reasons = clean("; ".join(sorted(set(given_up.values()))))
        raise IncompleteError(
            f"{len(given_up)} of {episodes} episodes of {path} were disturbed each time and are left out: {reasons}. "
            "The same command tries them again"
        )

"""The command that runs the benchmark, or checks a submission to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from meshagents.cli.options import Jobs
from meshgym.cli.console import Console, Count, Seed, Several
from meshgym.files import make_folder


def datasets(
    tasks: Annotated[tuple[str, ...], Several] = (),
    *,
    steps: Count = 10_000,
    seed: Seed = 0,
    out: Path | None = None,
    console: Console,
) -> None:
    """Record random, medium and expert behaviour on tasks of the benchmark, as Minari datasets.

    Args:
        tasks: names of tasks of environments or control, such as attack-S1 (default: all of them).
        steps: of each dataset.
        seed: of training and recording.
        out: folder of the datasets (default: Minari's own).
    """
    from meshagents.benchmark.datasets import record

    folder = None if out is None else make_folder(out)
    with console.bar("datasets") as progress:
        names = record(tasks, steps, seed, folder, progress)
    print("\n".join(names))


def benchmark(
    tasks: Annotated[tuple[str, ...], Several] = (),
    *,
    fast: bool = False,
    check: Path | None = None,
    jobs: Jobs = -1,
    backend: str = "loky",
    out: Path = Path("benchmark"),
    console: Console,
) -> None:
    """Score the baselines on all tasks, with fixed seeds and budgets.

    Args:
        tasks: names of tasks, such as attack-S1 (default: all).
        fast: one seed and a tenth of the budgets, to see that all of it runs.
        check: folder of a submission to check instead.
        jobs: processes; -1 for one per core.
        backend: loky, ray or dask.
        out: folder. Scores that it already holds aren't computed again.
    """
    from meshagents.benchmark.output import check_submission, to_text, write
    from meshagents.benchmark.run import cells, run

    if check is not None:
        print(f"{check} holds whole results of {', '.join(check_submission(check))}")
        return
    wanted = cells(tasks, fast)
    folder = make_folder(out)
    with console.bar("benchmark", "scores") as progress:
        scores = run(wanted, folder / "scores", jobs, backend, progress)
    console.record(folder)
    paths = write(scores, folder, fast)
    print("\n".join([to_text(scores, fast), "", *map(str, paths)]))

"""Write a training's history down while it goes on: each is called after every epoch, with all epochs so far."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from meshagents.training.loop import History, Progress
from meshgym.errors import MissingDependencyError
from meshgym.files import write_text


def csv_logger(path: Path) -> Progress:
    """Return a logger to a CSV file: one row per epoch, ``epoch``, ``reward``, ``random``, ``ratio`` and ``loss``.

    With n services, the first three have a column each for every service. The file is written as a whole, so a training
    that goes on has one file.

    Args:
        path: the file.

    Raises:
        FolderError: from the logger; the file can't be written.
    """

    def log(history: History) -> None:
        rows = [dict(_scalars(history, epoch)) for epoch in range(len(history))]
        lines = [",".join(["epoch", *rows[0]])]
        lines += [",".join([str(epoch), *map(repr, row.values())]) for epoch, row in enumerate(rows, start=1)]
        write_text(path, "\n".join(lines) + "\n")

    return log


def tensorboard_logger(folder: Path) -> Progress:
    """Return a logger to TensorBoard; names as of :func:`csv_logger`.

    Args:
        folder: TensorBoard's ``--logdir``.

    Raises:
        MissingDependencyError: TensorBoard isn't installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError("tensorboard", "a log for TensorBoard", "tensorboard") from error
    writer = SummaryWriter(str(folder))

    def log(history: History) -> None:
        for name, value in _scalars(history, len(history) - 1):
            writer.add_scalar(name, value, len(history))
        writer.flush()

    return log


def _scalars(history: History, epoch: int) -> Iterator[tuple[str, float]]:
    """Yield the names and values of an epoch."""
    for name in ("reward", "random", "ratio"):
        values = np.ravel(getattr(history, name)[epoch])
        for service, value in enumerate(values):
            yield name if len(values) == 1 else f"{name}_{service}", float(value)
    yield "loss", float(history.loss[epoch])

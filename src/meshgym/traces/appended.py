"""A CSV file that only grows, by whole lines, even if its writer is killed."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any, Self

from meshgym.errors import FolderError, TraceError


class AppendedCsv:
    """A CSV file that only grows; a context manager.

    Args:
        path: the file; an incomplete last line is dropped.
        columns: names of the columns.

    Raises:
        TraceError: the file has other columns.
    """

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path, self.columns = path, columns
        header = ",".join(columns) + "\n"
        found = path.read_bytes() if path.exists() else b""
        whole = found[: found.rfind(b"\n") + 1]
        if whole and not whole.startswith(header.encode()):
            raise TraceError(f"{path} has other columns than {header.strip()}; it isn't part of this collection")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._file, len(whole))  # a kill may have cut the last line
        if not whole:
            os.write(self._file, header.encode())

    def append(self, row: dict[str, Any]) -> None:
        """Write one line at once; what ``row`` lacks becomes an empty cell.

        Raises:
            FolderError: the line can't be written whole.
        """
        line = io.StringIO()
        writer = csv.DictWriter(line, self.columns, extrasaction="ignore", lineterminator="\n")
        writer.writerow({name: _plain(value) for name, value in row.items()})
        data = line.getvalue().encode()
        try:
            written = os.write(self._file, data)
        except OSError as error:
            raise FolderError(f"cannot write to {self.path} ({error.strerror}); its complete lines are kept") from error
        if written < len(data):
            raise FolderError(f"cannot write a whole line to {self.path}: the disk is full; complete lines are kept")

    def read(self) -> list[dict[str, str]]:
        """Return the lines, as text by column."""
        with self.path.open(newline="") as lines:
            return list(csv.DictReader(lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def _plain(value: object) -> str | float:
    """Return text in one line; return a number with at most six decimals, as an int if it is whole."""
    if isinstance(value, str):
        return " ".join(value.split())
    number = round(float(value), 6)  # type: ignore[arg-type]
    return int(number) if number.is_integer() else number

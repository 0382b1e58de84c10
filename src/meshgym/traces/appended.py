"""A CSV file that only grows, by whole lines, whatever is killed and when."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, Self

from meshgym.errors import FolderError, TraceError


class AppendedCsv:
    """A CSV file that only grows; a context manager.

    Args:
        path: of the file; a line that was cut short is dropped.
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
            raise TraceError(f"{path} begins with other columns than {header.strip()}; it is not this collection's")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._file, len(whole))  # a line cut short by a kill
        if not whole:
            os.write(self._file, header.encode())

    def append(self, row: dict[str, Any]) -> None:
        """Write a line at once; what ``row`` lacks is an empty cell.

        Raises:
            FolderError: the disk does not take it whole.
        """
        line = ",".join(_cell(row.get(name)) for name in self.columns) + "\n"
        try:
            written = os.write(self._file, line.encode())
        except OSError as error:
            raise FolderError(f"cannot write to {self.path} ({error.strerror}); its complete lines are kept") from error
        if written < len(line):
            raise FolderError(
                f"cannot write all of a line to {self.path}: the disk is full; its complete lines are kept"
            )

    def read(self) -> list[dict[str, str]]:
        """The lines, as text by column."""
        with self.path.open(newline="") as lines:
            return list(csv.DictReader(lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def _cell(value: object) -> str:
    if value is None:
        return ""  # a detail that this mesh does not know
    if isinstance(value, str):
        return '"' + " ".join(value.split()).replace('"', "'") + '"'
    number = float(value)  # type: ignore[arg-type]
    return str(int(number)) if number.is_integer() else repr(round(number, 6))

"""Arrays as ``.npz`` files without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import FolderError

Arrays = dict[str, NDArray[Any]]

#: What NumPy and zipfile raise on files that are damaged, or none of theirs.
UNREADABLE = (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, BadZipFile)


def write_arrays(path: str | Path, arrays: Arrays, what: str) -> Path:
    """Write a file that is whole or not there; the same arrays always give the same bytes.

    Args:
        path: its folder is made if need be.
        arrays: by name.
        what: the file is, for the error.

    Raises:
        FolderError: it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        partial.replace(path)
    except OSError as error:
        raise FolderError(f"cannot write {what} {path}: {error}") from error
    return path


def read_arrays(path: str | Path) -> Arrays:
    """Read what :func:`write_arrays` wrote; raises one of :data:`UNREADABLE` where that is not possible."""
    with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}

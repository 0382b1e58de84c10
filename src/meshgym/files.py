"""Read and write files: whole or not at all. The only module that writes, apart from collections that only grow."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import FolderError, MissingDependencyError

Arrays = dict[str, NDArray[Any]]

#: What NumPy and zipfile raise if a file is damaged or of another kind.
UNREADABLE = (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, BadZipFile)


def make_folder(path: str | Path) -> Path:
    """Make a folder, unless it exists, and check that files can be written to it.

    Raises:
        FolderError: the folder can't be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FolderError(f"cannot write to {path} ({error.strerror}); choose another folder with --out") from error
    return path


def write_bytes(path: str | Path, data: bytes, mode: int = 0o644) -> Path:
    """Write a file whole or not at all: beside it, synced to the disk, then renamed into place.

    Args:
        path: the folder is made if it doesn't exist.
        data: the contents.
        mode: permissions of the file.

    Raises:
        FolderError: the file can't be written; what was there before is still there.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise FolderError(f"cannot write {path} ({error.strerror}); free space or choose another folder") from error
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text; see :func:`write_bytes`."""
    return write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any, mode: int = 0o644) -> Path:
    """Write JSON, indented; see :func:`write_bytes`."""
    return write_bytes(path, json.dumps(value, indent=2).encode() + b"\n", mode)


def write_arrays(path: str | Path, arrays: Arrays) -> Path:
    """Write an ``.npz`` file; the same arrays always give the same bytes. See :func:`write_bytes`."""
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    return write_bytes(path, packed.getvalue())


def read_arrays(path: str | Path) -> Arrays:
    """Read what :func:`write_arrays` wrote; raise one of :data:`UNREADABLE` if that isn't possible."""
    with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def digest(arrays: Arrays) -> str:
    """Return the sha256 of the arrays' names, types, shapes and contents."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def remove(path: Path) -> None:
    """Remove a file, if it exists; it stays removed after a power failure."""
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Force names in a folder to the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def lock(path: Path, busy: Exception) -> Iterator[None]:
    """Hold a lock file; the system frees it when its holder dies.

    Args:
        path: the lock file; it is made if it doesn't exist, and stays.
        busy: raised if somebody else holds the lock.

    Raises:
        FolderError: the lock file can't be made.
        MissingDependencyError: the package ``filelock`` isn't installed.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise MissingDependencyError("filelock", "keeping two writers apart", "traces") from None
    held = FileLock(path, timeout=0, thread_local=False)  # another thread may close what this one opened
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except Timeout:
        raise busy from None
    except OSError as error:
        raise FolderError(f"cannot write to {path.parent} ({error.strerror}); choose another folder") from error
    try:
        yield
    finally:
        held.release()

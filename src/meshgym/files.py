"""Read and write files. Both have their only home here.

What is read is trusted in nothing: its size is bounded before its contents are looked at, and whatever goes wrong
becomes one error that names the file. What is written is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import FileError, FolderError, MeshGymError, MissingDependencyError

Arrays = dict[str, NDArray[Any]]

#: Most bytes of a text that people write, such as a scenario or a DestinationRule; of a JSON file that we wrote; and of
#: anything else. The largest files of the paper's scenarios have a hundredth of that.
TEXT_BYTES, JSON_BYTES, DATA_BYTES = 2**20, 2**25, 2**28


@contextmanager
def reading(path: str | Path, kind: str, error: type[MeshGymError], remedy: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into one ``error`` with the file, the reason and the remedy.

    Args:
        path: what is read in the block.
        kind: what it should be, such as ``"a simulator file"``.
        error: what to raise. One that the block raises itself is passed on, and so is any that names a file.
        remedy: what to do if the file is missing, or isn't what it should be.
    """
    try:
        yield
    except (error, FileError, MissingDependencyError):
        raise
    except FileNotFoundError as found:
        raise error(f"there is no {kind.partition(' ')[2]} {found.filename or path}. {remedy}") from None
    except PermissionError as found:
        raise error(f"you may not read {path}; ask its owner to let you") from found
    except Exception as found:  # a damaged file makes its parsers raise anything
        reason = found.strerror if isinstance(found, OSError) and found.strerror else str(found) or type(found).__name__
        raise error(f"{path} isn't {kind}, or is damaged ({reason[:500]}). {remedy}") from found


def read_bytes(path: str | Path, most: int = DATA_BYTES) -> bytes:
    """Return the contents of a regular file.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        OSError: it can't be read.
        ValueError: it is too large, or a folder, pipe or device.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no regular file")
        if about.st_size > most or len(content := file.read(most + 1)) > most:
            raise ValueError(f"it has more than {most:,} bytes")
        return content


def read_text(path: str | Path, most: int = TEXT_BYTES) -> str:
    """Return the contents of a UTF-8 file; see :func:`read_bytes`."""
    return decode(read_bytes(path, most))


def decode(content: bytes) -> str:
    """Return UTF-8 text.

    Raises:
        ValueError: it is in another encoding, begins with a byte order mark, or has a NUL.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} isn't UTF-8; save it as UTF-8") from None
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark; save it as UTF-8 without one")
    if "\0" in text:
        raise ValueError("it has a NUL character, so it isn't text")
    return text


def read_json(path: str | Path) -> Any:
    """Return the contents of a JSON file; see :func:`parse_json` and :func:`read_bytes`."""
    return parse_json(decode(read_bytes(path, JSON_BYTES)))


def parse_json(text: str) -> Any:
    """Return what JSON holds.

    Raises:
        Exception: it isn't JSON, or has a key twice; use it inside :func:`reading`.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def signed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON document with a checksum over the rest, by which :func:`check_signed` finds any change."""
    text = json.dumps(document, sort_keys=True)
    return {**document, "checksum": hashlib.sha256(text.encode()).hexdigest()}


def check_signed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document without its checksum.

    Raises:
        ValueError: the checksum is missing or doesn't fit.
    """
    plain = {name: value for name, value in document.items() if name != "checksum"}
    if signed(plain) != document:
        raise ValueError("its checksum doesn't fit")
    return plain


def read_arrays(path: str | Path) -> Arrays:
    """Return what :func:`write_arrays` wrote: arrays without objects, whose sizes fit the file's.

    Raises:
        Exception: the file is missing, damaged or of another kind; use it inside :func:`reading`.
    """
    content = read_bytes(path)
    arrays: Arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed, which ours aren't")
        if sum(member.file_size for member in members) > len(content):
            raise ValueError("its parts are larger than the whole")
        for member in members:
            arrays[member.filename.removesuffix(".npy")] = _array(archive.read(member))
    return arrays


def _array(content: bytes) -> NDArray[Any]:
    """Return the array of an ``.npy`` file; check its shape against the size before anything is allocated."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array of another version")
    shape, fortran, kind = np.lib.format.read_array_header_1_0(stream)
    if kind.hasobject:
        raise ValueError("an array of objects")
    start = stream.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != len(content) - start:
        raise ValueError(f"an array of shape {shape} in {len(content) - start} bytes")
    values = np.frombuffer(content, kind, offset=start) if kind.itemsize else np.zeros(shape, kind)
    return values.reshape(shape, order="F" if fortran else "C").copy()


def check_finite(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Check that no number is NaN or infinite.

    Raises:
        ValueError: one is; the message names the array.
    """
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that aren't finite")


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
    return write_together({Path(path): data}, mode)[0]


def write_together(files: Mapping[Path, bytes], mode: int = 0o644) -> list[Path]:
    """Write the files of one result: all are on the disk before the first is renamed into place.

    Args:
        files: contents by path, in the order of the renames: put last what describes the others.
        mode: permissions of the files.

    Raises:
        FolderError: a file can't be written; what was there before is still there.
    """
    partials = {path: path.with_name(f"{path.name}.{os.getpid()}.partial") for path in files}
    path = None
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(partials[path], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, partial in partials.items():
            partial.replace(path)
        for folder in {path.parent for path in files}:
            _sync_folder(folder)
    except OSError as error:
        raise FolderError(f"cannot write {path} ({error.strerror}); free space or choose another folder") from error
    finally:
        for partial in partials.values():
            with suppress(OSError):
                partial.unlink(missing_ok=True)
    return list(files)


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text; see :func:`write_bytes`."""
    return write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any, mode: int = 0o644) -> Path:
    """Write JSON; see :func:`to_json` and :func:`write_bytes`."""
    return write_bytes(path, to_json(value), mode)


def to_json(value: Any) -> bytes:
    """Return indented JSON, as a file holds it."""
    return json.dumps(value, indent=2).encode() + b"\n"


def write_arrays(path: str | Path, arrays: Arrays) -> Path:
    """Write an ``.npz`` file; the same arrays always give the same bytes. See :func:`write_bytes`."""
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    return write_bytes(path, packed.getvalue())


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

"""Memory that processes of one machine share, for tables that are too large to have in each of them."""

from __future__ import annotations

import fcntl
import mmap
import os
import platform
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Where memory has names. What lies there is gone after a restart of the machine.
_FOLDER = Path("/dev/shm")
#: Share of what is free there that a table may take.
_MOST = 0.5


def shared_memory(name: str, size: int) -> mmap.mmap | None:
    """Return memory that all processes of this user share under a name; zeros at first.

    It ends with the last process that has it. What is written by one is seen by the others, in the order in which it
    was written; so only machines have it that keep that order.

    Args:
        name: the same for those who write the same.
        size: bytes.

    Returns:
        The memory; None where there is none to share: on another system, or for lack of room.
    """
    folder = _FOLDER / f"meshgym-{os.getuid()}"
    if platform.machine() != "x86_64" or not _FOLDER.is_dir():
        return None
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
        if about.st_uid != os.getuid() or about.st_mode & 0o077:
            return None
        _sweep(folder)
        free = os.statvfs(folder)
        if size > _MOST * free.f_bavail * free.f_frsize and not (folder / name).exists():
            return None
        return _mapped(folder / name, size)
    except OSError:
        return None


def _mapped(path: Path, size: int) -> mmap.mmap:
    """Open or make a file, hold it, and map it."""
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_SH)
            if _still_there(number, path):
                os.posix_fallocate(number, 0, size)  # so that writing can't fail later
                memory = mmap.mmap(number, size)
                break
        except BaseException:
            _release(number, path)
            raise
        os.close(number)  # somebody removed it just before
    weakref.finalize(memory, _release, number, path)
    return memory


def _still_there(number: int, path: Path) -> bool:
    try:
        return os.fstat(number).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _release(number: int, path: Path) -> None:
    """Let a file go; the last one who holds it removes it."""
    with suppress(OSError), _alone(number):
        if _still_there(number, path):
            path.unlink()
    os.close(number)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left."""
    for path in folder.iterdir():
        with suppress(OSError):
            _release(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), path)


@contextmanager
def _alone(number: int) -> Iterator[None]:
    """Hold a file alone; an OSError if others hold it."""
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield

"""What a cluster's DestinationRule was before it was changed, on disk until it is put back.

A journal is a JSON file, replaced whole and forced to the disk before each change it announces. Beside it lies a
lock that its writer holds; the system frees the lock of one that was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TextIO

from meshgym.errors import FolderError, RestoreError


@dataclass(frozen=True)
class Entry:
    """What a journal says.

    Attributes:
        server: address of the API server.
        context: of the kubeconfig; None for the current one, or inside the cluster.
        namespace, name: of the DestinationRule.
        found: the whole object as it was found; None where there was none.
        written: contents (``spec``) that it may have by our doing; None where it may still be missing.
    """

    server: str
    context: str | None
    namespace: str
    name: str
    found: dict[str, Any] | None
    written: list[dict[str, Any] | None]


def journal_folder() -> Path:
    """Where journals lie if not told otherwise: the place for what programs keep between runs."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "meshgym"


class Journal:
    """One file, locked as long as this object is open; a context manager.

    Args:
        path: of the journal; its folder is made if need be.

    Raises:
        FolderError: the folder cannot be written.
        RestoreError: another process has the journal open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock: TextIO = path.with_suffix(".lock").open("w")
        except OSError as error:
            raise FolderError(f"cannot write the journal {path} ({error.strerror}); nothing was changed") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise RestoreError(f"another process is measuring with the journal {path}; wait for its end") from None

    def read(self) -> Entry | None:
        """The entry; None where nothing is to be put back.

        Raises:
            RestoreError: the file is damaged or no journal.
        """
        try:
            return Entry(**json.loads(self.path.read_text("utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise RestoreError(f"{self.path} cannot be read as a journal ({error}); look at it by hand") from error

    def write(self, entry: Entry) -> None:
        """Replace the entry; on the disk when this returns.

        Raises:
            FolderError: it cannot be written; the file is what it was.
        """
        partial = self.path.with_suffix(".partial")
        data = json.dumps(asdict(entry), indent=2).encode() + b"\n"
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
            self._sync_folder()
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise FolderError(
                f"cannot write the journal {self.path} ({error.strerror}), so nothing was changed in the cluster; "
                "free space, or set XDG_STATE_HOME to a folder that can be written"
            ) from error

    def remove(self) -> None:
        """Nothing is left to put back."""
        self.path.unlink(missing_ok=True)
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let others have it."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

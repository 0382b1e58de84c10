"""What a cluster's DestinationRule was before it was changed, on disk until it is given back.

It is the second line, should the note in the object be lost (see :mod:`meshgym.mesh.cluster.note`). A journal is a JSON
file. It is replaced whole and forced to the disk before each change that it announces. Its writer holds a lock beside
it; the system frees the lock when the writer dies.
"""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from meshgym.errors import FolderError, RestoreError
from meshgym.files import check_signed, lock, read_json, reading, remove, signed, write_json


@dataclass(frozen=True)
class Entry:
    """What a journal says.

    Attributes:
        server: address of the API server.
        kube_context: context of the kubeconfig; None for the current one, or inside the cluster.
        namespace, name: namespace and name of the DestinationRule.
        holder, since: of the loan, as its note has them.
        found: the whole object as it was found; None if there was none.
        written: digests of every ``spec`` that it may have because of us.
    """

    server: str
    kube_context: str | None
    namespace: str
    name: str
    holder: str
    since: str
    found: dict[str, Any] | None
    written: list[str]


def journal_folder() -> Path:
    """Return the default folder of journals, where programs keep their state between runs (XDG).

    Raises:
        FolderError: this user has no home.
    """
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise FolderError(f"nowhere to keep a journal ({error}); set XDG_STATE_HOME to a folder") from error
    return Path(base) / "meshgym"


def journal_path(server: str, namespace: str, name: str) -> Path:
    """Return the default journal of a DestinationRule: one per cluster, namespace and name."""
    return journal_folder() / f"{quote(server.partition('://')[2], safe='')}.{namespace}.{name}.json"


def restore_command(loan: object) -> str:
    """Return the command that gives a loan back, by ``NAMESPACE/NAME`` or by its journal."""
    return f"meshgym doctor --restore {shlex.quote(str(loan))}"


class JournalInUseError(RestoreError):
    """Another process is measuring with this journal."""


class Journal:
    """One file, locked until the journal is closed; a context manager.

    Args:
        path: the file; its folder is made if it doesn't exist.

    Raises:
        FolderError: the folder can't be written.
        JournalInUseError: another process has the journal open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        busy = JournalInUseError(f"another process is measuring with the journal {path}; wait for it to end")
        with ExitStack() as held:
            try:
                held.enter_context(lock(path.with_suffix(".lock"), busy))
            except FolderError as error:
                raise FolderError(f"cannot write the journal {path} ({error}); nothing was changed") from error
            self._held = held.pop_all()

    def read(self) -> Entry | None:
        """Return the entry; None if there is nothing to put back.

        Raises:
            RestoreError: the file is damaged, or not a journal.
        """
        if not self.path.exists():
            return None
        remedy = "It isn't changed, and nothing in the cluster is: put the DestinationRule back by hand."
        with reading(self.path, "a journal", RestoreError, remedy):
            import msgspec  # only clusters need it, and the doctor imports this

            return msgspec.convert(check_signed(read_json(self.path)), Entry)

    def write(self, entry: Entry) -> None:
        """Replace the entry; it is on the disk when this returns.

        Raises:
            FolderError: it can't be written; the file is what it was.
        """
        try:
            write_json(self.path, signed(asdict(entry)), mode=0o600)
        except FolderError as error:
            raise FolderError(
                f"cannot write the journal {self.path} ({error}), so nothing was changed in the cluster; "
                "free space, or set XDG_STATE_HOME to a folder that can be written"
            ) from error

    def remove(self) -> None:
        """Remove the file: nothing is left to put back."""
        remove(self.path)

    def close(self) -> None:
        """Let others have it."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

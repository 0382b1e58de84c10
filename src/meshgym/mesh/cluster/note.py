"""What stands in a DestinationRule while it is on loan: who has it, until when, and how it was found.

The note is an annotation, written with the first change and removed with the last. Whoever may change the object can
give it back, from any machine: nothing else is needed.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import os
import socket
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from meshgym.errors import RestoreError, clean
from meshgym.files import parse_json
from meshgym.mesh.shapes import Object

#: Name of the annotation.
ANNOTATION = "meshgym/loan"
#: The next change comes earlier than that; if it doesn't, the one who had it has ended.
_LEASE = timedelta(hours=1)
#: A note that grows beyond this when it is unpacked isn't ours; an object of Kubernetes has at most 1.5 MiB.
_MOST_BYTES = 8 * 2**20
#: What is kept of an object's metadata.
_METADATA = ("labels", "annotations", "managedFields")


@dataclass(frozen=True)
class Note:
    """A loan, as the annotation tells it.

    Attributes:
        holder: user, machine and process that have it.
        since, until: when it was first changed; when it is over unless it is changed again (ISO 8601, UTC).
        written: digest of the ``spec`` that was written last.
        found: ``spec`` and ``metadata`` (labels, annotations, managers) as they were found; None if there was none.
    """

    holder: str
    since: str
    until: str
    written: str
    found: Object | None

    @classmethod
    def begin(cls, found: Object | None) -> Self:
        """Begin a loan of what was found."""
        kept = found and {
            "spec": found["spec"],
            "metadata": {name: found["metadata"][name] for name in _METADATA if name in found["metadata"]},
        }
        return cls(_holder(), _time(), "", "", kept)

    def extended(self, spec: Object) -> Note:
        """Return the note for a change to ``spec`` that is made now."""
        return replace(self, until=_time(_LEASE), written=spec_digest(spec))

    def to_text(self) -> str:
        """Return the annotation's value."""
        packed = base64.b85encode(zlib.compress(json.dumps(self.found).encode(), 9)).decode()
        fields = {"holder": self.holder, "since": self.since, "until": self.until, "written": self.written}
        return json.dumps({**fields, "found": packed})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read an annotation's value.

        Raises:
            RestoreError: it isn't one of ours, or it is damaged.
        """
        try:
            fields = parse_json(text)
            unpacking = zlib.decompressobj()
            content = unpacking.decompress(base64.b85decode(fields.pop("found")), _MOST_BYTES)
            found = parse_json(content.decode())
            if not unpacking.eof or not all(isinstance(value, str) for value in fields.values()):
                raise ValueError("it is cut, or holds other fields")
            if not (found is None or (isinstance(found["spec"], dict) and isinstance(found["metadata"], dict))):
                raise ValueError("it holds no object")
            return cls(**fields, found=found)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error) as error:
            raise RestoreError(
                f"the annotation {ANNOTATION} can't be read ({clean(error)}); put the DestinationRule right by hand, "
                "then remove it"
            ) from None

    def __str__(self) -> str:
        over = " (over)" if self.until < _time() else ""
        holder, since, until = (clean(text, 100) for text in (self.holder, self.since, self.until))
        return f"on loan to {holder} since {since}, until {until}{over}"


def note_in(found: Object | None) -> Note | None:
    """Return the note in an object of Kubernetes; None if there is none.

    Raises:
        RestoreError: it can't be read.
    """
    text = found and (found["metadata"].get("annotations") or {}).get(ANNOTATION)
    return Note.from_text(text) if text else None


def spec_digest(spec: Any) -> str:
    """Return the SHA-256 of a ``spec``, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _holder() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a pod's user need not have a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"


def _time(later: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + later).isoformat(timespec="seconds")

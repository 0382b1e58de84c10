"""A cluster's DestinationRule on loan: note it there, change it, and give it back as it was found."""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from meshgym.errors import (
    ClusterError,
    ConflictError,
    DestinationRuleChangedError,
    DisturbedError,
    RestoreError,
    RulesRefusedError,
    clean,
)
from meshgym.mesh.cluster.api import Cluster
from meshgym.mesh.cluster.journal import Entry, Journal, restore_command
from meshgym.mesh.cluster.managers import metadata_as_found, same_managers
from meshgym.mesh.cluster.note import ANNOTATION, Note, note_in, spec_digest
from meshgym.mesh.cluster.waiting import patiently
from meshgym.mesh.shapes import Object
from meshgym.rules.yaml_text import to_text
from meshgym.stopping import finishing, heeding_signals

_ATTEMPTS = 3
#: What others may change of an object's metadata.
_PARTS = ("labels", "annotations")
_log = logging.getLogger(__name__)


class BorrowedDestinationRule:
    """A cluster's DestinationRule, to be changed any number of times and given back.

    A note in the object tells the loan, with all that is needed to give it back from anywhere; a journal on this disk
    announces each change before it is made. Changes are made only to what was last written here, so one that somebody
    else made in the meantime is never overwritten.

    Args:
        cluster: names the DestinationRule.
        journal: an open one.
        found: the DestinationRule before the loan; None if there was none.
        note: of the loan.
        written: digests of every ``spec`` that it may have because of the loan.

    Attributes:
        found: see above.
    """

    def __init__(
        self, cluster: Cluster, journal: Journal, found: Object | None, note: Note, written: list[str]
    ) -> None:
        self.cluster, self.found = cluster, found
        self._journal, self._note, self._written = journal, note, written
        self._now = found

    def change(self, spec: Object) -> None:
        """Change the ``spec``; the note goes along.

        Raises:
            FolderError: the journal can't be written; nothing was changed.
            DestinationRuleChangedError: somebody else changed it.
            RestoreError: somebody else borrowed it.
            RulesRefusedError: the cluster doesn't accept it.
            ClusterError, AwayError: see :class:`~meshgym.mesh.cluster.api.Cluster`.
        """
        self._announce(spec)
        self._send(spec)
        kept: Object = _spec(self._now)
        if kept != spec:
            self._announce(kept)
            self._send(kept)  # the note must tell what is there
            raise RulesRefusedError(f"{self.cluster} was sent {clean(spec)} and keeps {clean(kept)}")

    def check_unchanged(self) -> None:
        """Check that nobody has changed the ``spec`` since :meth:`change`, not even for a moment.

        Raises:
            DestinationRuleChangedError: somebody did, and it still differs.
            DisturbedError: somebody did, and changed it back.
            AwayError: no response.
        """
        before, now = self._now, self.cluster.read()
        if _spec(now) != _spec(before):
            raise self._changed(now)
        if _generation(now) != _generation(before):
            raise DisturbedError(f"{self.cluster} was changed while the load was sent, and changed back")
        self._now = now

    def give_back(self, wait_s: float = 0.0, force: bool = False) -> None:
        """Put back what was found, or delete what was made, and remove note and journal.

        Signals wait until that is done; a third one doesn't, and then the command is printed that does it.

        Args:
            wait_s: seconds to wait if the API server is away.
            force: put it back even over somebody else's change.

        Raises:
            DestinationRuleChangedError: somebody else changed it; it is left as it is now.
            RestoreError: it can't be given back now. Note and journal stay.
            KeyboardInterrupt, Stopped: at the end, if a signal came meanwhile.
        """
        if not self._written:
            return
        try:
            with heeding_signals(), finishing(f"giving back {self.cluster}"):
                patiently(lambda: self._put_back(force), wait_s)
                self._written.clear()
        except RestoreError:
            raise
        except Exception as error:  # whatever it is, how to give it back must be said
            raise RestoreError(
                f"{self.cluster} is not given back: {error}; do so later with: {self._command}"
            ) from error
        except BaseException:
            if self._written:
                print(f"{self.cluster} is not given back; do so with: {self._command}", file=sys.stderr, flush=True)
            raise

    def difference(self) -> str:
        """Return how the DestinationRule differs from what was found and what the loan made of it; empty if it doesn't.

        Raises:
            AwayError: no response.
        """
        now = self.cluster.read()
        if self._expected(now):
            return ""
        self._now = now
        is_now, was_found = (to_text(_spec(one) or {}).splitlines() for one in (now, self.found))
        return "\n".join(difflib.unified_diff(is_now, was_found, "as it is now", "as it was found", lineterm=""))

    @property
    def _command(self) -> str:
        """The command that gives it back: by name from any machine, by journal where a context must be known."""
        return restore_command(self._journal.path if self.cluster.kube_context else self.cluster.named)

    def _announce(self, spec: Object) -> None:
        """Journal that it may have ``spec`` because of us, or what it has now."""
        self._note = self._note.extended(spec)
        before = self._written or [spec_digest(_spec(self.found))]
        written = [*before, spec_digest(spec)]
        of = self.cluster
        self._journal.write(
            Entry(
                *(of.server, of.kube_context, of.namespace, of.name, self._note.holder, self._note.since),
                found=self.found,
                written=written,
            )
        )
        self._written = written

    def _send(self, spec: Object) -> None:
        """Change it to ``spec``; if only its version moved on, look again and repeat."""
        metadata = {"annotations": {ANNOTATION: self._note.to_text()}}

        def send() -> Object:
            if self._now is None:
                return self.cluster.create(spec, metadata)
            patch = _merge_patch(self._now["spec"], spec)
            return self.cluster.patch(patch, metadata, _version(self._now))

        for _ in range(_ATTEMPTS):
            try:
                self._now = send()
            except ConflictError:
                now = self.cluster.read()
                put_back = _spec(now) == _spec(self.found) != _spec(self._now)
                if put_back or not self._expected(now):
                    raise self._changed(now) from None
                self._now = now
            else:
                self._written = [spec_digest(_spec(self._now))]
                return
        raise self._restless()

    def _put_back(self, force: bool) -> None:
        """Give it back, from whatever state an earlier attempt left it in."""
        for _ in range(1 if force else _ATTEMPTS):
            now = self._now if force else self.cluster.read()
            if not force and not self._expected(now):
                raise self._changed(now)
            try:
                self._put_back_from(now)
            except ConflictError:
                continue
            self._journal.remove()
            return
        raise self._restless()

    def _put_back_from(self, now: Object | None) -> None:
        if self.found is None:
            if now:
                self.cluster.delete(_version(now))
            return
        if now is None:
            parts = {part: self.found["metadata"][part] for part in _PARTS if part in self.found["metadata"]}
            now = self.cluster.create(self.found["spec"], parts)
        if now["spec"] != self.found["spec"]:
            now = self.cluster.replace({**now, "spec": self.found["spec"]})
        # Apart from the spec, or the managers would count as changed by us.
        wanted = metadata_as_found(now["metadata"], self.found["metadata"])
        if wanted != now["metadata"]:
            now = self.cluster.replace({**now, "metadata": wanted})
        if now["spec"] != self.found["spec"] or note_in(now):
            raise ClusterError(f"the cluster keeps {clean(now['spec'])}, or the note of the loan")
        if not same_managers(now["metadata"], wanted):
            raise ClusterError("the cluster keeps other managers of its fields than it was sent")
        for part in _PARTS:
            if (now["metadata"].get(part) or {}) != (self.found["metadata"].get(part) or {}):
                _log.warning("%s: its %s were changed by somebody else meanwhile; they stay so", self.cluster, part)

    def _expected(self, now: Object | None) -> bool:
        """Return whether it is as it was found, or as this loan made it."""
        return not self._note_of_others(now) and spec_digest(_spec(now)) in [
            *self._written,
            spec_digest(_spec(self.found)),
        ]

    def _note_of_others(self, now: Object | None) -> Note | None:
        """Return the note of another loan; one that can't be read is none."""
        with suppress(RestoreError):
            note = note_in(now)
            if note and (note.holder, note.since) != (self._note.holder, self._note.since):
                return note
        return None

    def _changed(self, now: Object | None) -> RestoreError:
        """Return the error that tells what somebody else did."""
        if note := self._note_of_others(now):
            return RestoreError(f"{self.cluster} is {note}; nothing was changed over it")
        if _spec(now) == _spec(self.found):
            how = f"somebody else put {self.cluster} back as it was found while it was measured"
            return DestinationRuleChangedError(f"{how}; the run doesn't count")
        return DestinationRuleChangedError(
            f"somebody else {'changed' if now else 'removed'} {self.cluster} while it was measured; it is left as it "
            f"is now. To compare it with what was found: {self._command}; to put that back, add --force"
        )

    def _restless(self) -> ClusterError:
        return ClusterError(f"{self.cluster} has another version each time it is changed; is something writing to it?")


def _merge_patch(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that makes ``wanted`` of ``now`` (RFC 7386)."""
    patch: dict[str, Any] = {name: None for name in now if name not in wanted}
    for name, value in wanted.items():
        before = now.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            if inner := _merge_patch(before, value):
                patch[name] = inner
        elif before != value:
            patch[name] = value
    return patch


def _spec(found: Object | None) -> Any:
    return found and found["spec"]


def _generation(found: Object | None) -> Any:
    return found and found["metadata"].get("generation")


def _version(found: Object) -> str:
    return str(found["metadata"]["resourceVersion"])

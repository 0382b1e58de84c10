"""Who owns which field of an object: ``metadata.managedFields``, put back after fields were ours for a while.

A change takes the ownership of what it changes. Its owner's next server-side apply would meet conflicts, and a field
that the owner drops would stay. An update that changes nothing but ``managedFields`` gives the ownership back; one that
changes the ``spec`` too doesn't, because it counts as a change of these fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshgym.mesh.cluster.note import ANNOTATION
from meshgym.rules.policy import merge

#: Our name as a manager of fields.
MANAGER = "meshgym"
_Managers = Sequence[Mapping[str, Any]]


def metadata_as_found(now: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``metadata`` without our note, and with the managers that were found; what others added meanwhile stays.

    Args:
        now: of the object as it is, with the ``spec`` that was found.
        found: of the object as it was found.
    """
    annotations = {name: value for name, value in (now.get("annotations") or {}).items() if name != ANNOTATION}
    metadata = {**now, "annotations": annotations}
    if not annotations and found.get("annotations") != {}:
        del metadata["annotations"]
    if now.get("managedFields"):
        # An empty list would change nothing; a list with an empty entry clears the managers.
        managers = _as_found(now["managedFields"], found.get("managedFields") or [])
        metadata["managedFields"] = managers or [{}]
    return metadata


def same_managers(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two ``metadata`` have the same managers of the same fields, whenever they changed them."""
    return _owned(one.get("managedFields") or []) == _owned(other.get("managedFields") or [])


def _as_found(now: _Managers, found: _Managers) -> list[dict[str, Any]]:
    added = {_key(entry): entry for entry in now if entry.get("manager") != MANAGER}
    managers = []
    for entry in found:
        fields = added.pop(_key(entry), {}).get("fieldsV1") or {}
        managers.append({**entry, "fieldsV1": merge(entry.get("fieldsV1") or {}, fields)})
    return [*managers, *map(dict, added.values())]


def _owned(managers: _Managers) -> dict[tuple[str, ...], Any]:
    return {_key(entry): entry.get("fieldsV1") for entry in managers if entry}


def _key(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(entry.get(name) or "" for name in ("manager", "operation", "apiVersion", "subresource"))

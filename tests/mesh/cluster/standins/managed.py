"""Who owns which fields, as a real API server tracks it (structured-merge-diff), for updates and server-side applies.

Leaves are values and lists. What an update changes is taken from all others, what it removes is nobody's any more; an
update that sends other ``managedFields`` starts from these.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

Path = tuple[str, ...]
_TIME = "2026-11-27T04:00:00Z"
_API = "networking.istio.io/v1"


class ConflictError(Exception):
    """A server-side apply meets fields of somebody else."""


def update(now: dict[str, Any] | None, new: dict[str, Any], manager: str) -> list[dict[str, Any]]:
    """Return the managers after an update from ``now`` to ``new``."""
    before = now["metadata"].get("managedFields", []) if now else []
    sent = new["metadata"].get("managedFields", before)
    sent = [] if sent == [{}] else sent or before
    owners = {_key(entry): (_paths(entry["fieldsV1"]), entry) for entry in sent}
    old, after = _leaves(now or {}), _leaves(new)
    taken = {path for path, value in after.items() if path not in old or old[path] != value}
    gone = old.keys() - after.keys()
    return _changed(owners, (manager, "Update"), taken, gone)


def apply(now: dict[str, Any] | None, new: dict[str, Any], manager: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the object and the managers after a server-side apply; what its owner left out goes.

    Raises:
        ConflictError: a field that is somebody else's, with another value.
    """
    entries = now["metadata"].get("managedFields", []) if now else []
    owners = {_key(entry): (_paths(entry["fieldsV1"]), entry) for entry in entries}
    old, wanted = _leaves(now or {}), _leaves(new)
    mine = owners.get((manager, "Apply"), (set(), None))[0]
    others = {path for key, (paths, _) in owners.items() if key != (manager, "Apply") for path in paths}
    clashes = {path for path in wanted if path in others and path in old and old[path] != wanted[path]}
    if clashes:
        raise ConflictError(sorted(".".join(path) for path in clashes))
    gone = {path for path in mine if path not in wanted and path not in others}
    rule = deepcopy(now) if now else deepcopy(new)
    for path, value in wanted.items():
        section = rule
        for key in path[:-1]:
            section = section.setdefault(key, {})
        section[path[-1]] = value
    for path in gone:
        _remove(rule, path)
    owners[manager, "Apply"] = (set(wanted), owners.get((manager, "Apply"), (None, None))[1])
    return rule, _changed(owners, (manager, "Apply"), set(), gone)


def _changed(owners: dict[Any, Any], by: Path, taken: set[Path], gone: Iterable[Path]) -> list[dict[str, Any]]:
    paths, entry = owners.get(by, (set(), None))
    owners = {key: (found - taken if key != by else found, old) for key, (found, old) in owners.items()}
    owners[by] = (paths | taken, entry)
    return [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": _API,
            "time": entry["time"] if entry and _paths(entry["fieldsV1"]) == left else _TIME,
            "fieldsType": "FieldsV1",
            "fieldsV1": _fields(left),
        }
        for (manager, operation), (found, entry) in owners.items()
        if (left := found - set(gone))
    ]


def _key(entry: dict[str, Any]) -> Path:
    return entry["manager"], entry["operation"]


def _leaves(rule: dict[str, Any]) -> dict[Path, Any]:
    """What is managed: spec, labels and annotations."""
    metadata = rule.get("metadata", {})
    parts = {name: metadata[name] for name in ("labels", "annotations") if name in metadata}
    return dict(_walk({"metadata": parts, "spec": rule.get("spec", {})}, ()))


def _walk(value: Any, above: Path) -> Iterable[tuple[Path, Any]]:
    if not isinstance(value, dict) or (not value and len(above) > 1):
        yield above, value
        return
    for key, inner in value.items():
        yield from _walk(inner, (*above, key))


def _fields(paths: Iterable[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        section = tree
        for key in path:
            section = section.setdefault(f"f:{key}", {})
    return tree


def _paths(fields: dict[str, Any], above: Path = ()) -> set[Path]:
    if not fields:
        return {above} if above else set()
    return {path for key, inner in fields.items() for path in _paths(inner, (*above, key.removeprefix("f:")))}


def _remove(rule: dict[str, Any], path: Path) -> None:
    sections = [rule]
    for key in path[:-1]:
        sections.append(sections[-1].get(key, {}))
    sections[-1].pop(path[-1], None)
    for section, key in reversed(list(zip(sections, path[:-1], strict=False))):
        if section.get(key) == {}:
            del section[key]

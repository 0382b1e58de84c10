"""What comes from outside as JSON, checked against the shapes that we rely on.

What is null counts as left out, as in JSON of Kubernetes and of protobuf.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from meshgym.errors import ClusterError, MissingDependencyError, clean
from meshgym.rules.schema import without_nulls

try:
    import msgspec
except ImportError as error:
    raise MissingDependencyError("msgspec", "measuring in a cluster", "cluster") from error

#: An object of JSON, such as one of Kubernetes, or a part of one.
Object = dict[str, Any]
T = TypeVar("T")


def read_json(text: str | bytes, whose: str) -> Any:
    """Read JSON.

    Raises:
        ClusterError: it isn't JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        raise ClusterError(f"{whose} sent {clean(said, 100)!r} instead of JSON") from None


def shaped(found: Any, shape: type[T], whose: str, what: str) -> T:
    """Return JSON as a struct.

    Args:
        found: what was sent.
        shape: what it must be.
        whose, what: sender and contents, for messages.

    Raises:
        ClusterError: it is something else.
    """
    try:
        return msgspec.convert(without_nulls(found), shape)
    except msgspec.ValidationError as error:
        said = clean(json.dumps(found, default=str), 100)
        raise ClusterError(f"{whose} sent something other than {what}: {clean(error)}; it begins with {said}") from None

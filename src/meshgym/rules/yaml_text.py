"""Kubernetes manifests as YAML, read as Kubernetes reads them.

PyYAML alone takes a key that stands twice, ``1:30`` as 90 and ``2020-01-01`` as a date.
"""

from __future__ import annotations

from typing import Any, ClassVar

from meshgym.errors import InvalidValueError, MissingDependencyError

try:
    import yaml
except ImportError as error:
    raise MissingDependencyError("pyyaml", "a DestinationRule as YAML", "agents") from error

_KIND = "manifest"
#: Nodes in all documents, and how deep they may lie in one another.
_NODES, _DEPTH = 100_000, 50
_NO_SCALARS = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values only: no dates, no numbers of base 60, no key twice."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NO_SCALARS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
            keys.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _number(loader: Any, node: Any) -> Any:
    """Return a number; what has a colon is text."""
    text = loader.construct_scalar(node)
    if ":" in text:
        return text
    whole = node.tag.endswith(":int")
    return loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _number)


def read_documents(text: str) -> list[Any]:
    """Return the documents of a manifest, without empty ones.

    Raises:
        InvalidValueError: it isn't YAML, has an alias or a key twice, or is too large or too deep.
    """
    try:
        _check_size(text)
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(_KIND, " ".join(str(error).split()), "YAML as Kubernetes reads it") from None


def _check_size(text: str) -> None:
    """Go through the events before anything is built: an alias repeated on every level would fill the memory."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, _Loader)):
        if isinstance(event, yaml.AliasEvent):
            raise InvalidValueError(_KIND, f"*{event.anchor}", "no aliases", "Write out what it stands for.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH or number > _NODES:
            raise InvalidValueError(_KIND, "too large", f"at most {_NODES} values, {_DEPTH} levels deep")


def to_text(document: dict[str, Any]) -> str:
    """Return a document as YAML, keys in their order."""
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text

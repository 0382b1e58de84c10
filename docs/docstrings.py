"""What Griffe makes of our docstrings and signatures before mkdocstrings shows them."""

from __future__ import annotations

import itertools
import re
from typing import Any

from griffe import Alias, Attribute, Docstring, Expr, ExprName, Extension, Function, Module, Object

#: Of ``:class:`Mesh` ``, what only Sphinx knows.
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=`)")
#: ``low, high: bounds`` and the lines that go on with it.
_TOGETHER = re.compile(r"^( +)(\w+(?:, \w+)+)(:.*\n?(?:\1 +.*\n?)*)", re.MULTILINE)


#: The comment above a constant, as Sphinx reads it.
_COMMENT = re.compile(r" *#: ?(.*)")


class Plain(Extension):
    """Roles without their names, names explained together one by one, defaults as values, comments of constants."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """After a package was read."""
        self._go_through(pkg)

    def _go_through(self, thing: Object) -> None:
        if isinstance(thing, Attribute) and not thing.docstring:
            thing.docstring = _comment(thing)
        if thing.docstring:
            text = _ROLE.sub("", thing.docstring.value)
            thing.docstring.value = _TOGETHER.sub(_one_by_one, text)
        if isinstance(thing, Function):
            for parameter in thing.parameters:
                parameter.default = _value(thing, parameter.default)
        for member in thing.members.values():
            if not isinstance(member, Alias):
                self._go_through(member)


def _comment(constant: Attribute) -> Docstring | None:
    """The lines that begin with ``#:`` above a constant."""
    lines = constant.lines_collection[constant.filepath][: (constant.lineno or 1) - 1]
    above = itertools.takewhile(bool, (_COMMENT.fullmatch(line) for line in reversed(lines)))
    text = " ".join(reversed([found[1] for found in above if found]))
    return Docstring(text, parent=constant) if text else None


def _one_by_one(found: re.Match[str]) -> str:
    indent, names, rest = found.groups()
    return "".join(f"{indent}{name}{rest.rstrip()}\n" for name in names.split(", "))


def _value(function: Function, default: str | Expr | None) -> str | Expr | None:
    """What a default that is a constant of ours stands for."""
    if isinstance(default, ExprName):
        constant = function.modules_collection.get_member(default.canonical_path)
        return constant.value if constant.is_attribute else default
    return default

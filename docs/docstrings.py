"""What Griffe makes of our docstrings and signatures before mkdocstrings shows them."""

from __future__ import annotations

import re
from typing import Any

from griffe import Class, Expr, ExprName, Extension, Function, Module, Object

#: Of ``:class:`Mesh` ``, what only Sphinx knows.
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=`)")
#: ``low, high: bounds`` and the lines that go on with it.
_TOGETHER = re.compile(r"^( +)(\w+(?:, \w+)+)(:.*\n?(?:\1 +.*\n?)*)", re.MULTILINE)


class Plain(Extension):
    """Roles without their names, names that are explained together one by one, defaults as values."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """After a package was read."""
        self._go_through(pkg)

    def _go_through(self, thing: Object) -> None:
        if thing.docstring:
            text = _ROLE.sub("", thing.docstring.value)
            thing.docstring.value = _TOGETHER.sub(_one_by_one, text)
        if isinstance(thing, Function):
            for parameter in thing.parameters:
                parameter.default = _value(thing, parameter.default)
        for member in thing.members.values():
            if isinstance(member, Class | Function | Module) or not member.is_alias:
                self._go_through(member)  # type: ignore[arg-type]


def _one_by_one(found: re.Match[str]) -> str:
    indent, names, rest = found.groups()
    return "".join(f"{indent}{name}{rest.rstrip()}\n" for name in names.split(", "))


def _value(function: Function, default: str | Expr | None) -> str | Expr | None:
    """What a default that is a constant of ours stands for."""
    if isinstance(default, ExprName):
        constant = function.modules_collection.get_member(default.canonical_path)
        return constant.value if constant.is_attribute else default
    return default

"""Agents that find the load that breaks a service in a mesh, on any environment of meshgym.

``__init__.pyi`` lists the public names. Each is imported when it is first used: importing the package loads neither
PyTorch nor pandas. Agents need the extra ``agents``.
"""

from typing import Any

import lazy_loader

from meshgym.errors import MissingDependencyError

_attached, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    try:
        return _attached(name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("mesh"):
            raise
        raise MissingDependencyError(str(error.name), f"meshagents.{name}", "agents") from error

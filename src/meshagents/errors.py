"""What agents raise besides the errors of :mod:`meshgym.errors`."""

from __future__ import annotations

from meshgym.errors import FileError


class AgentError(FileError):
    """An agent's file that is missing, damaged or made for something else, or an environment that no agent can use."""

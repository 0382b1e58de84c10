"""What the agents raise beside the errors of :mod:`meshgym.errors`."""

from __future__ import annotations

from meshgym.errors import MeshGymError


class AgentError(MeshGymError):
    """An agent file that is missing, damaged or made for something else, or an environment no agent can use."""

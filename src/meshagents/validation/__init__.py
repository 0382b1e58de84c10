"""Validate agents: measure their decisions on a live mesh, and say how far the simulator is off.

From outside, use ``decisions`` (what each policy decides), ``measure`` (runs, kept in a folder), ``validate`` and
``gap``. The room may import everything up to :mod:`meshagents.training`; it writes nothing but runs.
"""

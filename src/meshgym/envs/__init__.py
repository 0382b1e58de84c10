"""Environments: one step, in the forms of Gymnasium and PettingZoo.

``core`` has the only step; ``single``, ``vector``, ``parallel``, ``aec`` and ``live`` translate spaces and
dictionaries. From outside, use the classes of those five, ``spaces`` (what an action means) and ``render``. Users call
``gymnasium.make``, :func:`meshgym.parallel_env` and :func:`meshgym.aec_env`. This room imports simulators and the
contract of meshes; of traces, only what ``contexts="traces"`` reads.
"""

"""Recommend what can be deployed: the worst load under given rules, the best rules under given loads.

From outside, use ``search`` (find both), ``inputs`` (read rules, loads and names), ``measure`` and ``output``. The
room needs no agents: it may import meshgym and ``meshagents.statistics``.
"""

"""Experiments of the paper: Table 5, its Val columns, Figure 7, the claims and the ablations.

From outside, use ``table5``, ``table5_live``, ``figure7`` and ``comparisons``: each has what it runs and how it scores
it, as data frames. The room may import everything up to :mod:`meshagents.validation`; it formats nothing.
"""

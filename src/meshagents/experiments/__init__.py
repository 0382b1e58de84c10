"""The paper's experiments: what to train, kept results, and the tables that come of them.

From outside, use ``table5`` and ``figure7`` (the paper's), ``table5_live`` (Table 5 on a live mesh), ``comparisons``
(the paper's claims, and ablations) and ``jobs`` (trainings in parallel, none twice). This room imports validation and
all above it; ``meshagents.report`` writes and shows its tables.
"""

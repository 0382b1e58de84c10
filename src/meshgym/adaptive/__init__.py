"""Few runs: which to make next, so that a decision is good early.

From outside, use ``search`` (ask and tell) and ``plan`` (the same for a collection). This room imports traces and
simulators; they know nothing of it.
"""

"""Few runs: which to make next, so that a decision is good early.

From outside, use ``search`` (ask and tell), ``plan`` (the same for a collection), ``caution`` (what runs may do) and
``worth`` (how many runs pay off). This room imports traces and simulators; they know nothing of it.
"""

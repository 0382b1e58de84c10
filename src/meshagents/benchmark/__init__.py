"""A versioned suite of tasks with fixed seeds and budgets, and baselines to compare with.

From outside, use ``tasks`` (the tasks), ``run`` (scores) and ``output`` (tables, the page, submissions).
"""

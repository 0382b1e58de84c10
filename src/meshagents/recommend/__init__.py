"""Recommendations to deploy: the worst load under given rules, the best rules under given loads.

From outside, use ``advice`` (from a command's options to files), ``request`` (those options), ``search`` (find rules
and loads) and ``output`` (measure and write what was found). This room imports meshgym, and of meshagents only
``statistics``, tasks and validation's progress bars.
"""

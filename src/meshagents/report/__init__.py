"""Write results down: text and tables of experiments and validations, and one HTML page of what a folder holds.

From outside, use ``results`` (files beside each other), ``page`` (the HTML page) and ``plots``. The room may import
everything but :mod:`meshagents.recommend` and the command line; it computes nothing.
"""

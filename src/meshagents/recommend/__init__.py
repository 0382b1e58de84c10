"""Advice that can be deployed: the worst load under given rules, the best rules under given loads."""

"""Learners: Q-learning agents, each to be read from top to bottom in one file.

``dqn`` makes one decision, ``pairs`` two; ``collaborative`` has the same three for several services. From outside, use
their agents and ``hyperparameters``. The small files are what they share: ``networks``, ``scaling``, ``replay``,
``checkpoint``. This room imports the agent's contract, PyTorch, and of meshgym only errors, files and rewards.
"""

"""Agents from outside: a function, a Stable-Baselines3 file or an ONNX file, wherever the project's own agents are.

From outside, use ``agent`` (read one) and ``judged`` (with the task it is for). This room imports environments' spaces,
tasks and the contract of agents.
"""

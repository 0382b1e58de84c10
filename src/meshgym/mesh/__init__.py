"""Meshes: put traffic rules in force, send load, and return what came back.

From outside, use ``base`` (the contract), ``destination_rule`` (rules in Istio's words), ``envoy_cluster`` (and in
Envoy's), ``limits``, and the meshes themselves: ``embedded.mesh`` (local Envoy processes) and ``cluster.mesh`` (Istio
on Kubernetes). This room imports the tables, types and scenarios of meshgym, and nothing of traces, simulators or
environments.
"""

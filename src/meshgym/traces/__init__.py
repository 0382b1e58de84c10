"""Trace sets: runs of a mesh, collected, stored, and assessed.

From outside, use ``store`` (read and write a set), ``collect`` and ``plan`` (measure one), ``pack`` (pass a collection
on), ``authors`` (import the paper's sets), ``quality`` (assess a set) and ``schema`` (its columns). This room imports
meshes and scenarios; nothing of simulators. It needs the extra ``traces``, and ``quality`` the extra ``simulator``.
"""

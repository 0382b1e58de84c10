"""Validation: decisions measured on a live mesh, beside what the simulator predicted.

From outside, use ``decisions`` (what policies decide), ``measure`` (meshes and progress bars), ``validate`` (measure
and compare) and ``gap`` (the tables). This room imports training and all above it; it formats and writes nothing.
"""

"""The service under test of the embedded mesh, as data.

From outside, use ``profile`` (replicas of limited capacity, which the mesh makes itself) and ``own`` (a service that is
there already).
"""

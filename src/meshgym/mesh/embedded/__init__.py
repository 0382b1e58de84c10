"""A mesh on this machine: real Envoys, one as the client's sidecar, one as the service under test.

From outside, use ``mesh`` (:class:`~meshgym.mesh.embedded.mesh.EmbeddedMesh`) and ``process`` (where Envoy is). This
room may import :mod:`meshgym.mesh`, :mod:`meshgym.mesh.load` and what stands above them.
"""

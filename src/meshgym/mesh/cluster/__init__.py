"""A mesh in a Kubernetes cluster with Istio: one DestinationRule on loan, load by Fortio.

From outside, use ``mesh`` (:class:`~meshgym.mesh.cluster.mesh.IstioMesh`). The doctor also looks at ``api``,
``fortio``, ``journal``, ``loan`` and ``sidecar``. This room may import :mod:`meshgym.mesh` and what stands above it.
"""

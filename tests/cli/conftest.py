"""The doctor's tests look at the cluster of stand-ins."""

from mesh.conftest import impatient, make_world, world  # noqa: F401 (fixtures)

"""A mesh that several tests of a file share."""

import pytest
from mesh.services import PLENTY

from meshgym.mesh.embedded.mesh import EmbeddedMesh


@pytest.fixture(scope="module")
def plenty():
    """A service with more capacity than any test asks for."""
    with EmbeddedMesh(profile=PLENTY) as mesh:
        yield mesh

"""A mesh of real nodes over mutual TLS on loopback, for whoever wants to attack it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_node.security.pki.authority import Authority
from tests.attacks.tampering import Misleading
from tests.support.mesh import Mesh


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The federation's authority."""
    return Authority.create(tmp_path_factory.mktemp("ca"), "attacked")


@pytest.fixture
async def mesh(authority: Authority, tmp_path: Path) -> AsyncIterator[Mesh]:
    """No peers yet."""
    async with Mesh(authority, tmp_path, Misleading) as made:
        yield made

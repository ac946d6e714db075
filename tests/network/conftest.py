"""A mesh of real nodes over mutual TLS on loopback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_node.security.pki.authority import Authority
from tests.support.mesh import Mesh


@pytest.fixture
async def mesh(authority: Authority, tmp_path: Path) -> AsyncIterator[Mesh]:
    """No peers yet."""
    async with Mesh(authority, tmp_path / "peers") as made:
        yield made

"""The rows and phases that the command shows, computed once."""

import pytest

from edge_node.demo.data.datasets import diabetes
from edge_node.demo.graph.phase import Phase
from edge_node.demo.graph.rows import Handful, handful
from edge_node.demo.graph.watched import phases


@pytest.fixture(scope="session")
def rows() -> Handful:
    """Twelve patients of the diabetes data."""
    return handful(diabetes())


@pytest.fixture(scope="session")
def seen(rows: Handful) -> dict[str, Phase]:
    """All phases, by name."""
    return {phase.name: phase for phase in phases(rows)}

"""A federation's spec; and an aggregator and its nodes, in one process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_node.security.pki.authority import Authority
from tests.aggregator.created import SPEC
from tests.aggregator.discovered import Discovered, discovered


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The federation's authority."""
    return Authority.create(tmp_path_factory.mktemp("ca"), "discovery")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A federation spec, outside any aggregator's directory."""
    file = tmp_path / "spec.toml"
    file.write_text(SPEC)
    return file


@pytest.fixture
def aggregator(authority: Authority) -> Iterator[Discovered]:
    """An aggregator with the enrolled nodes a, b, c and d."""
    with discovered(authority) as made:
        yield made.enrol("a", "b", "c", "d").start()

"""CONTRIBUTING.md and CHANGELOG.md speak of what is there."""

import re
from pathlib import Path

import edge_node

ROOT = Path(__file__).parents[1]


def test_every_place_that_is_named_exists() -> None:
    """Files, folders and make targets."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`([\w.-]*/[\w./-]*)`", text)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    named = set(re.findall(r"(?:`|    )make ([a-z-]+)", text))
    assert {"setup", "check", "contracts"} <= named <= targets


def test_the_version_has_its_entry() -> None:
    """The newest version of the changelog is the package's; above it stands what comes next."""
    headings = re.findall(r"(?m)^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text())
    assert headings[:2] == ["Unreleased", edge_node.__version__]

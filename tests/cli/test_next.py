"""What a command says comes next can be typed as it stands."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_node.cli import cli
from edge_node.node import setup

ENROLLED = {
    "node": "a",
    "federation": "wards",
    "pending": False,
    "fingerprint": "00",
    "expires": "2030-01-01",
    "spec": "federation.toml",
    "spec_hash": "00" * 32,
}


def call(*arguments: str, **environment: str) -> Result:
    """What a command line of a node prints."""
    return CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=False)


@pytest.mark.parametrize(
    ("directory", "environment", "expected"),
    [
        ((), {}, "Next: edge-node enrol TOKEN\n"),
        (("--dir", "site a"), {}, "Next: edge-node enrol TOKEN --dir 'site a'\n"),
        ((), {"EDGE_NODE_DIR": "site"}, "Next: edge-node enrol TOKEN\n"),
    ],
)
def test_after_init(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    directory: tuple[str, ...],
    environment: dict[str, str],
    expected: str,
) -> None:
    """Enrolment, in the same directory."""
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("x,y\n1,2\n")
    made = call("init", "--name", "a", "--data", "rows.csv", *directory, **environment)
    assert made.output.endswith(expected)


@pytest.mark.parametrize(
    ("pending", "expected"),
    [
        (True, ["edge-node enrol --resume --dir there"]),
        (False, ["edge-node doctor --dir there", "edge-node run --dir there"]),
    ],
)
def test_after_enrol(monkeypatch: pytest.MonkeyPatch, pending: bool, expected: list[str]) -> None:
    """The certificate, where it is not signed yet; otherwise the start of the node."""
    monkeypatch.setattr(setup, "enrol_node", lambda *_, **__: ENROLLED | {"pending": pending})
    told = call("enrol", "token", "--dir", "there").output
    for command in expected:
        assert command in told


def test_after_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back."""
    monkeypatch.setattr(setup, "leave_node", lambda *_, **__: {"node": "a"})
    assert "edge-node enrol TOKEN --dir there" in call("leave", "--dir", "there").output

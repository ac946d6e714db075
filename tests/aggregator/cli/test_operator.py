"""What the aggregator's commands show: help, what to do next, and an empty federation."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from aggregator.cli import cli
from edge_node import __version__
from edge_node.security.pki.tokens import Token
from tests.aggregator.created import SPEC


def shown(*words: str, env: dict[str, str] | None = None) -> str:
    """What a command prints."""
    result = CliRunner().invoke(cli, words, env=env, catch_exceptions=False, prog_name="aggregator")
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a federation spec."""
    (tmp_path / "spec.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("group", "examples"),
    [
        (
            (),
            [
                "aggregator init --spec federation.toml --host aggregator.example.org",
                "aggregator run",
                "aggregator status",
            ],
        ),
        (
            ("ca",),
            [
                "aggregator ca import SIGNED                     on the aggregator",
                "A new authority, offline or not:",
                "aggregator ca retire                            once all nodes have renewed",
            ],
        ),
    ],
)
def test_each_example_has_a_line_of_its_own(group: tuple[str, ...], examples: list[str]) -> None:
    """As it is written, and without the mark that asks for it."""
    text = shown(*group, "--help")
    lines = [line.strip() for line in text.splitlines()]
    for example in examples:
        assert example in lines
    assert "\\b" not in text
    assert "\b" not in text


def test_version() -> None:
    """The program's name and the package's version."""
    assert shown("--version") == f"aggregator {__version__}\n"


def init(*words: str, env: dict[str, str] | None = None) -> str:
    """``aggregator init``."""
    return shown("init", "--spec", "spec.toml", "--host", "localhost", *words, env=env)


def test_what_to_do_next_is_as_it_must_be_typed(path: Path) -> None:
    """With the directory where it was typed, so that it is found."""
    text = init("--dir", "my agg")
    assert "Next: aggregator run --dir 'my agg'\n" in text
    assert "aggregator token NODE --dir 'my agg'\n" in text


@pytest.mark.parametrize("env", [{}, {"AGGREGATOR_DIR": "agg"}])
def test_a_directory_that_was_not_typed_need_not_be(path: Path, env: dict[str, str]) -> None:
    """The present one, or the environment's, is found again."""
    assert "Next: aggregator run\n" in init(env=env)


def test_an_empty_federation_says_how_to_invite_nodes(path: Path) -> None:
    """Instead of a table without rows; for programs it is the same as ever."""
    init("--dir", "agg")
    text = shown("status", "--dir", "agg")
    assert "No node has enrolled in 'hospitals' yet." in text
    assert "aggregator token NODE --dir agg\n" in text
    assert json.loads(shown("status", "--dir", "agg", "--json"))["nodes"] == []
    assert "phase" not in text


def test_tokens_for_several_nodes(path: Path) -> None:
    """One a line, in the order of the names; each is its own node's."""
    init("--dir", "agg")
    lines = shown("token", "b", "a", "--dir", "agg").splitlines()
    assert [Token.decode(line).node for line in lines[:2]] == ["b", "a"]
    told = json.loads(shown("token", "c", "--dir", "agg", "--json"))
    assert Token.decode(told["tokens"]["c"]).node == "c"


@pytest.mark.parametrize("group", [(), ("ca",)])
def test_every_command_says_what_it_does_in_one_line(group: tuple[str, ...]) -> None:
    """None is cut short where a terminal has 80 columns."""
    lines = shown(*group, "--help").split("Commands:")[1].strip().splitlines()
    assert len(lines) >= 6
    for line in lines:
        assert len(line.split()) > 2
        assert not line.endswith("...")

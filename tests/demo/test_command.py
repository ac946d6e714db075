"""The demonstration's command, up to where processes would start."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_node.cli import cli
from edge_node.errors import ConfigurationError, DataError, TangentMeshError


def demo(*arguments: object) -> Result:
    """What the command prints, and what it raises."""
    return CliRunner().invoke(cli, ["demo", *map(str, arguments)], standalone_mode=False)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's file."""
    path = tmp_path / "own.csv"
    path.write_text("age,y\n" + "".join(f"{i % 7},{i / 3}\n" for i in range(30)))
    return path


def test_the_schema_is_shown_before_anything_starts(own: Path, tmp_path: Path) -> None:
    """So that a misread column is seen at once: here nothing else happens."""
    result = demo("--csv", own, "--target", "y", "--nodes", 2, "--report", tmp_path / "report")
    assert isinstance(result.exception, ConfigurationError)
    assert "0 to 6" in result.stdout
    assert "0 to 9.66667" in result.stdout
    assert not (tmp_path / "report").exists()


def test_programs_get_no_table(own: Path) -> None:
    """With --json standard output is for the report alone."""
    result = demo("--csv", own, "--target", "y", "--nodes", 2, "--json")
    assert isinstance(result.exception, ConfigurationError)
    assert result.stdout == ""


def test_what_is_peculiar_is_said_before_anything_starts(own: Path) -> None:
    """In a note beside the table."""
    own.write_text("age,y\n" + "".join(f"{i},{i / 3}\n" for i in range(30)))
    assert "Note: column 'age' numbers the rows" in demo("--csv", own, "--target", "y").stderr


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (("--target", "y"), ConfigurationError, "--target without --csv"),
        (("--categorical", "y", "--missing", "x"), ConfigurationError, "--categorical, --missing"),
        (("--csv", "own.csv"), ConfigurationError, "--csv needs --target"),
        (
            ("--csv", "own.csv", "--target", "y", "--site-column", "y"),
            ConfigurationError,
            "--target and --site-column can't both name the column 'y'",
        ),
        (
            ("--csv", "own.csv", "--target", "y", "--ignore", "y"),
            ConfigurationError,
            "--target and --ignore can't both",
        ),
        (
            ("--csv", "own.csv", "--target", "y", "--categorical", "age", "--ignore", "age"),
            ConfigurationError,
            "--ignore and --categorical can't both",
        ),
        (
            ("--csv", "own.csv", "--target", "y", "--categorical", "y", "--task", "regression"),
            ConfigurationError,
            "--target and --categorical can't both",
        ),
        (
            ("--csv", "own.csv", "--target", "y", "--categorical", "y", "--event", "age"),
            ConfigurationError,
            "--target and --categorical can't both",
        ),
        (
            ("--csv", "own.csv", "--target", "y", "--task", "survival"),
            ConfigurationError,
            "--task survival needs --event",
        ),
        (
            ("--csv", "own.csv", "--target", "y", "--event", "age", "--task", "count"),
            ConfigurationError,
            "--event and --task count exclude each other",
        ),
        (
            ("--csv", "own.csv", "--target", "y", "--classes", "1,2", "--task", "regression"),
            ConfigurationError,
            "--classes is for labels, and the task is regression",
        ),
        (
            ("--csv", "own.csv", "--target", "y", "--classes", "1,2", "--event", "age"),
            ConfigurationError,
            "--classes is for labels, and the task is survival",
        ),
        (
            ("--csv", "own.csv", "--target", "y", "--classes", "1,2,2"),
            ConfigurationError,
            "--classes doesn't list classes",
        ),
        (("--csv", "own.csv", "--target", "y", "--classes", ","), ConfigurationError, "','"),
        (("--csv", "missing.csv", "--target", "y"), DataError, "missing.csv: no such file"),
        (("--nodes", "2"), ConfigurationError, "Give `--nodes 3` or more"),
        (("--nodes", "80"), DataError, "too few rows for 80 nodes"),
    ],
)
def test_options_that_do_not_do(
    own: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    kind: type[TangentMeshError],
    text: str,
) -> None:
    """Each with what to do about it."""
    monkeypatch.chdir(own.parent)
    error = demo(*arguments).exception
    assert isinstance(error, kind)
    assert text in str(error)
    assert error.remedy


def test_a_text_to_be_read_as_missing_may_begin_with_a_hyphen(own: Path) -> None:
    """`--missing -999` isn't read as an option."""
    own.write_text("age,y\n" + "".join(f"{-999 if i % 5 else i},{i / 3}\n" for i in range(30)))
    options = ("--csv", own, "--target", "y", "--nodes", "2", "--missing", "-999")
    result = demo(*options)
    assert isinstance(result.exception, ConfigurationError)
    assert "0 to 25" in result.stdout


@pytest.mark.parametrize("module", ["matplotlib", "networkx", "sklearn"])
def test_without_the_extra(tmp_path: Path, module: str) -> None:
    """The plain wheel lacks what only the demonstration needs: it says so before it starts."""
    program = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from edge_node.cli import main\n"
        "sys.argv = ['edge-node', 'demo', '--report', 'report']\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    assert "Traceback" not in done.stderr
    assert f"no {module}" in done.stderr
    assert "pip install 'tangent-mesh[demo]'" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []

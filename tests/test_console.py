"""What all commands share: exit codes, JSON, logs that are safe to show."""

import io
import json
import logging
import sys

import click
import pytest

from edge_node import console
from edge_node.errors import DataError


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    yield
    sys.excepthook = hook
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@click.group()
def group() -> None:
    """A group."""


@group.command()
@click.option("--raise", "kind", default="")
@console.json_option
def work(kind: str, as_json: bool) -> int | None:
    """Do something, or fail in the given way."""
    if kind == "data":
        raise DataError("not a number", where="a.csv, row 3", found="'x'")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "three":
        return 3
    console.emit({"rows": 2}, as_json=as_json, text="2 rows")
    return None


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command line."""
    with pytest.raises(SystemExit) as ended:
        console.main(group, arguments, program="tool")
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["work"], 0),
        (["--help"], 0),
        (["work", "--raise", "data"], DataError.exit_code),
        (["work", "--raise", "interrupt"], 130),
        (["work", "--raise", "three"], 3),
        (["work", "--unknown"], 2),
        (["play"], 2),
        ([], 2),
    ],
)
def test_exit_codes(capsys, arguments, code):
    """Each way to end has its exit code."""
    assert run(capsys, *arguments)[0] == code


def test_results(capsys):
    """A result goes to standard output and to no other place."""
    assert run(capsys, "work") == (0, "2 rows\n", "")
    assert json.loads(run(capsys, "work", "--json")[1]) == {"rows": 2}


def test_errors(capsys):
    """An error is a sentence, or with --json an object, on standard error."""
    _, out, err = run(capsys, "work", "--raise", "data")
    assert (out, err) == ("", "Error: a.csv, row 3: not a number (found 'x')\n")
    _, out, err = run(capsys, "work", "--raise", "data", "--json")
    assert out == ""
    assert json.loads(err) == {
        "error": "DataError",
        "exit_code": 4,
        "problem": "not a number",
        "where": "a.csv, row 3",
        "found": "'x'",
    }


def logged(*, as_json: bool, **extra: object) -> str:
    """What is written when an information and a debug message are logged."""
    stream = io.StringIO()
    console.configure_logging(as_json=as_json, stream=stream)
    logging.getLogger("tool").info("plan %d issued", 3, extra=extra)
    logging.getLogger("tool").debug("hidden")
    return stream.getvalue()


def test_json_logs():
    """A JSON log line holds the facts beside the sentence."""
    entry = json.loads(logged(as_json=True, epoch=3))
    assert entry["message"] == "plan 3 issued"
    assert (entry["level"], entry["logger"], entry["epoch"]) == ("info", "tool", 3)
    assert entry["time"].endswith("+00:00")


def test_logs_for_people():
    """A log line for people can't carry commands for their terminal."""
    line = logged(as_json=False, step="\x1b[2Jgone")
    assert line.endswith("info    plan 3 issued  step=\\x1b[2Jgone\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_tracebacks(as_json):
    """They say where and of which type, and quote no library: what it couldn't read may be a cell.

    The project's own errors are told in full.
    """
    stream = io.StringIO()
    console.configure_logging(as_json=as_json, stream=stream)
    try:
        try:
            int("Quetzalcoatlus-7")
        except ValueError as error:
            raise DataError("a cell is wrong", where="column 'ward'") from error
    except DataError:
        logging.getLogger("tool").exception("failed")
    told = stream.getvalue()
    assert "builtins.ValueError (its text is left out" in told
    assert "edge_node.errors.DataError: column 'ward': a cell is wrong" in told
    assert "test_console.py" in told
    assert "invalid literal" not in told


def test_uncaught_exceptions_are_logged():
    """And quote nothing either."""
    stream = io.StringIO()
    console.configure_logging(as_json=True, stream=stream)
    error = KeyError("Quetzalcoatlus-7")
    sys.excepthook(KeyError, error, None)
    entry = json.loads(stream.getvalue())
    assert entry["level"] == "critical"
    assert "builtins.KeyError" in entry["traceback"]
    assert "Quetzalcoatlus" not in stream.getvalue()


def test_tables(capsys):
    """Cells are shown as they are: no markup, no control characters."""
    console.emit(
        {},
        as_json=False,
        text=lambda: console.table(["node", ">rows"], [["[red]a[/red]", 10], ["\x1bb", 9]]),
    )
    drawn = capsys.readouterr().out
    assert "[red]a[/red]" in drawn
    assert "\\x1bb" in drawn
